//! Sets of types, as globs.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Types by globs, in which `*` stands for anything. Two are equal that are written alike.
#[derive(Clone, Default, Debug)]
pub struct Globs {
    written: Vec<String>,
    set: GlobSet,
}

impl Globs {
    /// The types that match one of these.
    ///
    /// # Errors
    /// When one is no glob; [`globset::Error::glob`] says which.
    pub fn new<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<Self, globset::Error> {
        let (mut written, mut set) = (Vec::new(), GlobSetBuilder::new());
        for glob in globs {
            set.add(GlobBuilder::new(glob).build()?);
            written.push(glob.to_owned());
        }
        Ok(Self { written, set: set.build()? })
    }

    /// The type is one of them.
    #[must_use]
    pub fn is_match(&self, kind: &str) -> bool {
        self.set.is_match(kind)
    }
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Globs {}
