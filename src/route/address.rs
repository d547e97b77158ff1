//! From where a client comes.

use std::net::IpAddr;

use http::HeaderMap;

use super::key::{Keyer, Sum};

/// From where a client comes, as a keyed hash: the address of its connection, and what a proxy in front said of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address(u128);

impl Keyer {
    /// The address of a client whose connection comes from `peer`. `X-Forwarded-For` can only tell apart those who come
    /// from one address: whoever makes it up is compared with others at their own. `None` where nothing is known: by a
    /// unix socket anybody may come.
    #[must_use]
    pub fn address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<Address> {
        let forwarded = || headers.get_all("x-forwarded-for").iter();
        if peer.is_none() && forwarded().next().is_none() {
            return None;
        }
        let mut sum = Sum::new(self);
        sum.add(peer.map_or_else(String::new, |peer| peer.to_string()).as_bytes());
        sum.all(forwarded().map(|line| line.as_bytes()));
        Some(Address(sum.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_the_connection_and_what_a_proxy_says() {
        let address = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            Keyer::new(7).address(peer.parse().ok(), &headers)
        };
        let all = [
            address("10.0.0.1", &[]),
            address("10.0.0.2", &[]),
            address("10.0.0.1", &["10.0.0.2"]),
            address("10.0.0.1", &["10.0.0.2", "10.0.0.3"]),
            address("10.0.0.1", &["10.0.0.210.0.0.3"]),
            address("", &["10.0.0.2"]),
            address("", &[]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(all.iter().filter(|other| *other == one).count(), 1, "{at}");
        }
        assert_eq!(address("10.0.0.1", &["a"]), address("10.0.0.1", &["a"]));
        assert_eq!(address("", &[]), None);
    }
}
