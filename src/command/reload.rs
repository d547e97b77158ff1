//! The configuration read again, on SIGHUP or because its file has changed: a bad one changes nothing and says so.

use std::{
    io,
    time::{Duration, SystemTime},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinError, spawn_blocking},
    time::sleep,
};

use crate::{
    app::App,
    config::{self, Config, Fault, Faults, Flags, Place},
    metrics::Reload,
};

/// A file that has changed is read once more after this long, until it stays as it is: whoever writes it may be in the
/// middle of it.
const SETTLED: Duration = Duration::from_millis(200);

/// Where the program's configuration comes from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The flags that it was started with.
    pub flags: Flags,
    /// The environment that it was started in.
    pub env: fn(&str) -> Option<String>,
}

/// Begins to listen for SIGHUP; from now on it does not end the process.
///
/// # Errors
///
/// When the handler cannot be installed. Needs a tokio runtime with I/O.
pub fn signals() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Shows in the metrics when the configuration in force was loaded.
pub(super) fn show_time(app: &App) {
    let since = app.record().state().loaded.duration_since(SystemTime::UNIX_EPOCH);
    app.metrics().loaded.set(since.map_or(0, |since| usize::try_from(since.as_secs()).unwrap_or(usize::MAX)));
}

/// Whoever loads the configuration again.
pub(super) struct Reloader {
    sources: Sources,
    app: App,
    /// The first configuration, of which some stays.
    started: Config,
    /// The one that was loaded last.
    loaded: Config,
    /// What the file was when it was looked at last.
    seen: Option<Read>,
}

/// The file's name and its text, or why there is none.
type Read = Result<(String, String), Faults>;

/// That nobody knows whether a configuration is right, which is as good as wrong.
fn unfinished(place: Place, panic: &JoinError) -> Faults {
    let message = format!("the configuration could not be judged: {panic}");
    let remedy = "this is not of your making: report it, with the file, and write it as it was".to_owned();
    Faults::new(vec![Fault { place, message, remedy }], "")
}

impl Reloader {
    pub(super) fn new(sources: Sources, app: App, config: Config) -> Self {
        Self { sources, app, started: config.clone(), loaded: config, seen: None }
    }

    /// Loads it again on each signal, and when the file has become another one where that is looked for, until the drain
    /// begins.
    pub(super) async fn run(mut self, mut hangups: Signal) {
        let drained = self.app.drain().begun();
        let reloads = async {
            self.begin().await;
            loop {
                self.turn(hangups.recv()).await;
            }
        };
        tokio::select! {
            () = drained => {}
            () = reloads => {}
        }
    }

    /// Waits for a signal or another file, whatever comes first, and acts on it. A signal is not kept waiting by a file
    /// that is being written.
    async fn turn<T>(&mut self, hangup: impl Future<Output = T>) {
        tokio::select! {
            // What the signal brings matters to nobody: there will always be another one.
            _ = hangup => self.hung_up().await,
            read = self.changed() => self.load(read).await,
        }
    }

    /// From what the file is now on it is looked at. It may have changed since it was loaded.
    async fn begin(&mut self) {
        let Some(read) = self.read().await.filter(|_| self.loaded.reload.is_some()) else { return };
        match self.judge(&read).await {
            Ok(config) if config == self.loaded => self.seen = Some(read),
            _ => self.load(read).await,
        }
    }

    async fn hung_up(&mut self) {
        match self.read().await {
            Some(read) => self.load(read).await,
            None => {
                tracing::warn!(
                    "SIGHUP: there is no configuration file to read again; start with --config to change it so"
                );
            }
        }
    }

    /// The file, once it has changed and stays as it is. Dropping the future forgets nothing.
    async fn changed(&self) -> Read {
        let Some(due) = self.loaded.reload else { return std::future::pending().await };
        loop {
            sleep(due).await;
            if let Some(read) = self.look().await {
                return read;
            }
        }
    }

    /// The file, if it has changed since it was looked at last: as it stays.
    async fn look(&self) -> Option<Read> {
        let mut read = self.read().await;
        if read == self.seen {
            return None;
        }
        loop {
            sleep(SETTLED).await;
            let again = self.read().await;
            if again == read {
                break;
            }
            read = again;
        }
        // Back to what it was: nothing to load.
        read.filter(|read| Some(read) != self.seen.as_ref())
    }

    /// What is in the file now; `None` where there is none.
    async fn read(&self) -> Option<Read> {
        let sources = self.sources.clone();
        // A file system may be slow.
        let read = spawn_blocking(move || config::read(&sources.flags, &sources.env)).await;
        read.unwrap_or_else(|panic| Err(unfinished(Place::Nowhere, &panic))).transpose()
    }

    async fn judge(&self, read: &Read) -> Result<Config, Faults> {
        let ((name, text), sources) = (read.clone()?, self.sources.clone());
        let place = Place::Whole(name.clone());
        let resolve = move || Config::resolve_inspected(&sources.flags, &sources.env, Some((&name, &text)));
        // It reads the files that it names.
        spawn_blocking(resolve).await.unwrap_or_else(|panic| Err(unfinished(place, &panic)))
    }

    async fn load(&mut self, read: Read) {
        let judged = self.judge(&read).await;
        self.seen = Some(read);
        match judged {
            Ok(config) if config == self.loaded => self.unchanged(),
            Ok(config) => self.change(config),
            Err(faults) => self.refuse(faults.iter().map(ToString::to_string).collect()),
        }
    }

    fn unchanged(&self) {
        tracing::info!("the configuration was read again: it says nothing new");
        self.app.metrics().reloads.count(Reload::Unchanged);
        self.app.record().unchanged(SystemTime::now());
    }

    fn change(&mut self, config: Config) {
        self.app.change(&config);
        let waiting = config.waiting(&self.started);
        tracing::info!(routes = config.routes.len(), "the configuration was loaded again");
        for setting in &waiting {
            tracing::warn!(setting, "this was changed in the configuration and waits for a restart");
        }
        super::run::warn(&config, Some(&self.loaded));
        self.app.metrics().reloads.count(Reload::Loaded);
        self.app.record().loaded(SystemTime::now(), waiting);
        show_time(&self.app);
        self.loaded = config;
    }

    fn refuse(&self, faults: Vec<String>) {
        for fault in &faults {
            tracing::error!(fault, "the configuration was refused, and nothing has changed");
        }
        self.app.metrics().reloads.count(Reload::Refused);
        self.app.record().refused(SystemTime::now(), faults);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::{dice::Dice, drain::Drain, metrics::Metrics, reload::Outcome};

    const UPSTREAM: &str = "upstream = 'http://127.0.0.1:1'\nreload = '5s'\n";

    /// A reloader of a file of this text, which is away with what is returned.
    fn reloader(name: &str) -> (Reloader, File) {
        let file = File(std::env::temp_dir().join(format!("respool-{}-{name}.toml", std::process::id())));
        file.write("forwarded = false\n");
        let flags = Flags { config: file.0.to_str().map(str::to_owned), ..Flags::default() };
        let sources = Sources { flags, env: |_| None };
        let config = Config::load(&sources.flags, &sources.env).unwrap();
        let drain = Drain::new(config.drain_time);
        let app = App::new(&config, config.upstream.dialer(), Dice::seeded(7), Metrics::new(), drain);
        (Reloader::new(sources, app, config), file)
    }

    struct File(PathBuf);

    impl File {
        fn write(&self, text: &str) {
            // A reader on another thread has one or the other.
            let next = self.0.with_extension("next");
            fs::write(&next, format!("{UPSTREAM}{text}")).unwrap();
            fs::rename(next, &self.0).unwrap();
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    async fn look(reloader: &mut Reloader) {
        if let Some(read) = reloader.look().await {
            reloader.load(read).await;
        }
    }

    fn outcome(reloader: &Reloader) -> (u64, Outcome) {
        let state = reloader.app.record().state();
        (state.loads, state.last.outcome.clone())
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_being_written_is_left_until_it_stays_as_it_is() {
        let (mut reloader, file) = reloader("half");
        reloader.begin().await;
        file.write("");
        let writer = tokio::spawn(async move {
            for n in 0..20 {
                // Each part is a good file by itself.
                sleep(SETTLED / 3).await;
                file.write(&"#".repeat(n));
            }
            sleep(SETTLED / 3).await;
            file.write("forwarded = true\nhost = 'upstream'\n");
            file
        });
        look(&mut reloader).await;
        let _file = writer.await.unwrap();
        assert_eq!(outcome(&reloader), (2, Outcome::Loaded));
        assert!(reloader.loaded.forward.forwarded, "not of a file in the middle of being written");
        assert_eq!(reloader.app.metrics().reloads.get(Reload::Loaded), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_back_in_time_is_no_change() {
        let (mut reloader, file) = reloader("back");
        reloader.begin().await;
        file.write("");
        let writer = tokio::spawn(async move {
            sleep(SETTLED / 3).await;
            file.write("forwarded = false\n");
            file
        });
        look(&mut reloader).await;
        let _file = writer.await.unwrap();
        assert_eq!(outcome(&reloader), (1, Outcome::Loaded));
        assert_eq!(reloader.app.metrics().reloads.get(Reload::Unchanged), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_between_the_start_and_the_first_look_is_seen() {
        let (mut reloader, file) = reloader("early");
        file.write("forwarded = true\n");
        reloader.begin().await;
        assert_eq!(outcome(&reloader), (2, Outcome::Loaded));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_is_told_once_and_names_its_place() {
        let (mut reloader, file) = reloader("fault");
        reloader.begin().await;
        file.write("forwarded = 7\n");
        for _ in 0..3 {
            look(&mut reloader).await;
        }
        let (loads, outcome) = outcome(&reloader);
        let Outcome::Refused(faults) = outcome else { panic!("{outcome:?}") };
        assert!(loads == 1 && faults[0].contains(".toml:3:13: "), "{faults:?}");
        assert_eq!(reloader.app.metrics().reloads.get(Reload::Refused), 1);
        file.write("forwarded = false\n");
        look(&mut reloader).await;
        assert_eq!(super::tests::outcome(&reloader), (1, Outcome::Unchanged));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_is_acted_on_at_once_while_the_file_is_being_written() {
        let (mut reloader, file) = reloader("busy");
        reloader.begin().await;
        let writer = tokio::spawn(async move {
            for n in 0.. {
                file.write(&format!("forwarded = true\n#{n}\n"));
                sleep(SETTLED / 3).await;
            }
        });
        // In the middle of a look that has found another file, and finds another one each time.
        let hangup = sleep(Duration::from_secs(5) + SETTLED * 10);
        let turn = tokio::time::timeout(Duration::from_secs(60), reloader.turn(hangup)).await;
        assert!(turn.is_ok(), "the signal waits for the file");
        assert_eq!(outcome(&reloader), (2, Outcome::Loaded));
        writer.abort();
        let _ = writer.await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_judged_is_refused_and_changes_nothing() {
        let (mut reloader, file) = reloader("panic");
        reloader.begin().await;
        reloader.sources.env = |_| panic!("as if a file had been misread");
        file.write("forwarded = true\n");
        reloader.hung_up().await;
        let (loads, outcome) = outcome(&reloader);
        let Outcome::Refused(faults) = outcome else { panic!("{outcome:?}") };
        let told = "panic.toml: the configuration could not be judged: ";
        assert!(loads == 1 && faults[0].contains(told), "{faults:?}");
        assert_eq!(reloader.app.metrics().reloads.get(Reload::Refused), 1);
        assert!(!reloader.loaded.forward.forwarded);
        // The next one that can be judged is loaded.
        reloader.sources.env = |_| None;
        reloader.hung_up().await;
        assert_eq!(super::tests::outcome(&reloader), (2, Outcome::Loaded));
    }
}
