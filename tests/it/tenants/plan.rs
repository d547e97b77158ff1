//! What a seed's operator wrote, and who its tenants are.

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

use super::model::Request;

/// A part of a request that a route's key may count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Host,
    Path,
    Query,
    Room,
    Dir,
    Authorization,
    Sid,
}

impl Part {
    const ALL: [Self; 7] =
        [Self::Host, Self::Path, Self::Query, Self::Room, Self::Dir, Self::Authorization, Self::Sid];

    fn text(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Path => "path",
            Self::Query => "query",
            Self::Room => "query:room",
            Self::Dir => "header:x-dir",
            Self::Authorization => "header:authorization",
            Self::Sid => "cookie:sid",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Route {
    /// The paths that begin so.
    pub(super) path: &'static str,
    pub(super) shared: bool,
    pub(super) key: Option<Vec<Part>>,
    /// Nobody is asked who is let in.
    pub(super) open: bool,
    /// A yes counts for half a minute.
    pub(super) cache: bool,
    readmit: bool,
    ids: &'static str,
    more: Vec<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    routes: Vec<Route>,
    /// The upstream gives ids of its own.
    pub(super) numbers: bool,
    /// It lets pages of any origin read its answers.
    pub(super) any_origin: bool,
    pub(super) steps: usize,
}

impl Route {
    fn draw(path: &'static str, dice: &mut StdRng) -> Self {
        let shared = dice.random_ratio(2, 3);
        let parts = Part::ALL
            .into_iter()
            .filter(|part| dice.random_ratio(1, if *part == Part::Path { 2 } else { 4 }));
        let parts: Vec<_> = parts.collect();
        let open = shared && dice.random_ratio(1, 4);
        let (cache, readmit) = (shared && dice.random_ratio(1, 4), shared && dice.random_ratio(1, 3));
        let ids = *["keep", "replace", "hidden"].choose(dice).unwrap();
        let mut more = Vec::new();
        for line in [
            "stamp = 'always'",
            "on_gap = 'replay'",
            "linger = '20s'",
            "prime = false",
            "window = { events = 3 }",
            "heartbeat = '10s'",
            "gap_event = { event = 'gap', data = '{reason}' }",
            "ephemeral = ['beat']",
            "match_upstream_ids = false",
            "upstream_resumes = true",
        ] {
            let fits = (!line.contains("upstream_resumes") || shared && ids == "keep")
                && (!line.contains("match_upstream_ids") || !shared && ids == "keep")
                && (!line.contains("stamp") || ids != "hidden");
            if fits && dice.random_ratio(1, 4) {
                more.push(line);
            }
        }
        Self {
            path,
            shared,
            key: (!parts.is_empty() && dice.random_ratio(3, 4)).then_some(parts),
            open,
            cache: cache && !open,
            readmit: readmit && !open,
            ids,
            more,
        }
    }

    /// What no route matches.
    const REST: Self = Self {
        path: "/",
        shared: false,
        key: None,
        open: false,
        cache: false,
        readmit: false,
        ids: "keep",
        more: Vec::new(),
    };

    fn config(&self) -> String {
        let Self { path, ids, more, .. } = self;
        let mut lines = vec![
            format!("[[route]]\npath = '{path}*'"),
            format!("mode = '{}'", if self.shared { "shared" } else { "private" }),
            format!("ids = '{ids}'"),
        ];
        if let Some(parts) = &self.key {
            let parts: Vec<_> = parts.iter().map(|part| format!("'{}'", part.text())).collect();
            lines.push(format!("key = [{}]", parts.join(", ")));
        }
        let switches = [
            (self.open, "admit = 'none'"),
            (self.cache, "admit_cache = '30s'"),
            (self.readmit, "readmit = '1m'"),
        ];
        lines.extend(switches.iter().filter(|(on, _)| *on).map(|(_, line)| (*line).to_owned()));
        lines.extend(more.iter().map(|line| (*line).to_owned()));
        lines.join("\n") + "\n"
    }
}

static REST: Route = Route::REST;

impl Plan {
    pub(super) fn draw(dice: &mut StdRng) -> Self {
        let routes = ["/a/", "/b/", "/c/"].map(|path| Route::draw(path, dice)).into();
        Self { routes, numbers: dice.random_ratio(1, 3), any_origin: dice.random_ratio(1, 3), steps: 60 }
    }

    pub(super) fn config(&self) -> String {
        self.routes.iter().map(Route::config).collect()
    }

    /// The route of a path.
    pub(super) fn route(&self, path: &str) -> &Route {
        self.routes.iter().find(|route| path.starts_with(route.path)).unwrap_or(&REST)
    }
}

/// What somebody may ask for. There are few of each, so that requests that are nearly the same are common.
pub(super) fn request(dice: &mut StdRng) -> Request {
    let pick = |dice: &mut StdRng, of: &[&str]| (*of.choose(dice).unwrap()).to_owned();
    let path = pick(dice, &["/a/1", "/a/1", "/a/2", "/b/1", "/b/1", "/b/2", "/c/1", "/c/1", "/d"]);
    let query = pick(
        dice,
        &[
            "",
            "",
            "",
            "room=1",
            "room=2",
            "room=1&x=1",
            "x=1",
            "token=tok3",
            "room=1&Room=2",
            "room=1&ro%6fm=2",
            "x=1;room=2&room=1",
        ],
    );
    let mut headers = Vec::new();
    let mut add = |name: &str, values: &[&str], dice: &mut StdRng| {
        let value = pick(dice, values);
        if !value.is_empty() {
            headers.push((name.to_owned(), value));
        }
    };
    add("authorization", &["", "", "Bearer tok1", "Bearer tok2"], dice);
    add(
        "cookie",
        &[
            "",
            "",
            "",
            "sid=tok1",
            "sid=tok2",
            "sid=tok1; theme=dark",
            "x=\"; sid=tok1; y=\"",
            "Sid=tok2; sid=tok1",
            "s%69d=tok2; sid=tok1",
        ],
        dice,
    );
    add("x-dir", &["", "", "", "one", "two"], dice);
    add("x_dir", &["", "", "", "", "", "", "two"], dice);
    add("x-api-key", &["", "", "", "", "tok1"], dice);
    add("origin", &["", "", "", "http://h", "http://elsewhere"], dice);
    headers.sort();
    let host = pick(dice, &["h", "h", "h", "g"]);
    Request { post: dice.random_ratio(1, 12), host, path, query, headers }
}
