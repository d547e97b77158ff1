//! Another configuration in the place of one: what it cannot change while the program runs.

use super::Config;

impl Config {
    /// What differs from the configuration that the program was started with and takes a restart, by its keys.
    #[must_use]
    pub fn waiting(&self, started: &Self) -> Vec<&'static str> {
        // Each by its name, so that a new one is thought of.
        let Self {
            listen,
            upstream,
            upstream_http2,
            upstream_tls,
            tls,
            admin,
            admin_settings,
            forward: _,
            stumbling: _,
            limits: _,
            outage_hold: _,
            outage_statuses: _,
            drain_time: _,
            reload: _,
            routes: _,
            warnings: _,
        } = self;
        let fixed = [
            ("listen", *listen != started.listen),
            ("upstream", *upstream != started.upstream),
            ("upstream_http2", *upstream_http2 != started.upstream_http2),
            ("upstream_tls", *upstream_tls != started.upstream_tls),
            ("tls", *tls != started.tls),
            ("admin", *admin != started.admin),
            ("admin_hosts", admin_settings.hosts != started.admin_settings.hosts),
            ("admin_actions", admin_settings.actions != started.admin_settings.actions),
        ];
        fixed.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }
}
