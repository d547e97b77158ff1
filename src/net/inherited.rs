//! Sockets that the service manager listens on for us (sd_listen_fds(3)): they are there before we are, and stay when we
//! go, so that a restart refuses nobody.

use std::{env, io, net::TcpListener, os::unix::net::UnixListener};

use listenfd::ListenFd;

/// One of them.
#[derive(Debug)]
pub(super) enum Inherited {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// All of them that nobody has taken yet, with the names that they were given.
#[derive(Debug, Default)]
pub struct Sockets(Vec<(String, Inherited)>);

impl Sockets {
    /// Those that were handed to this process. They are its own from now on: a second call finds none.
    ///
    /// # Errors
    ///
    /// When one is no socket that streams are accepted on.
    pub fn from_env() -> io::Result<Self> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut handed = ListenFd::from_env();
        let mut names = names.split(':');
        let each = (0..handed.len()).map(|at| {
            let name = names.next().unwrap_or_default().to_owned();
            Ok(take(&mut handed, at)?.map(|socket| (name, socket)))
        });
        Ok(Self(each.filter_map(Result::transpose).collect::<io::Result<_>>()?))
    }

    /// Those of this name, or all.
    pub(super) fn take(&mut self, name: Option<&str>) -> Vec<Inherited> {
        let is_wanted = |(had, _): &(String, Inherited)| name.is_none_or(|name| name == had);
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(is_wanted);
        self.0 = left;
        Vec::into_iter(taken).map(|(_, socket)| socket).collect()
    }
}

fn take(handed: &mut ListenFd, at: usize) -> io::Result<Option<Inherited>> {
    if let Ok(socket) = handed.take_tcp_listener(at) {
        return Ok(socket.map(Inherited::Tcp));
    }
    Ok(handed.take_unix_listener(at)?.map(Inherited::Unix))
}
