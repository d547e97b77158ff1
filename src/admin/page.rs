//! The page; all of it is in the program.

use http::Response;

use super::answer;
use crate::body::Relay;

const HTML: &str = include_str!("page.html");
const SCRIPTS: [(&str, &str); 3] = [
    ("/status.js", include_str!("page/status.js")),
    ("/view.js", include_str!("page/view.js")),
    ("/chart.js", include_str!("page/chart.js")),
];
const STYLE: &str = include_str!("page.css");
const ICON: &str = include_str!("page.svg");

/// A file of the page.
pub(super) fn file(path: &str) -> Option<Response<Relay>> {
    if let Some((_, script)) = SCRIPTS.iter().find(|(name, _)| *name == path) {
        return Some(answer::typed("text/javascript; charset=utf-8", *script));
    }
    match path {
        "/" => Some(answer::typed("text/html; charset=utf-8", HTML)),
        "/status.css" => Some(answer::typed("text/css; charset=utf-8", STYLE)),
        "/status.svg" => Some(answer::typed("image/svg+xml", ICON)),
        _ => None,
    }
}
