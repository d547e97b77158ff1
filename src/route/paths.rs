//! Which paths a route takes.

use globset::GlobMatcher;

/// The paths that match a glob. Two are equal that are written alike.
#[derive(Clone, Debug)]
pub struct Paths(GlobMatcher);

impl Paths {
    /// The path is one of them.
    #[must_use]
    pub fn is_match(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

impl From<GlobMatcher> for Paths {
    fn from(glob: GlobMatcher) -> Self {
        Self(glob)
    }
}

impl PartialEq for Paths {
    fn eq(&self, other: &Self) -> bool {
        self.0.glob() == other.0.glob()
    }
}

impl Eq for Paths {}
