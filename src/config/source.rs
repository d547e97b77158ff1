//! The text of a file while it is judged: from spans to places, and to all that is wrong with it.

use std::{cell::RefCell, ops::Range};

use super::{
    fault::{Fault, Place, Wrong},
    written::{Spanned, Texts},
};

/// A file's name and text, and what was found wrong with it so far. What is wrong is noted, and the reading goes on as
/// if it had not been written.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    pub(super) found: &'a Found,
}

/// What was found wrong.
#[derive(Default)]
pub(super) struct Found {
    faults: RefCell<Vec<Fault>>,
    left_out: RefCell<Vec<LeftOut>>,
}

/// Something that was written, and is not read: there is a fault at it.
pub(super) struct LeftOut {
    /// Where the tables begin that it stands in, the outermost first.
    pub(super) tables: Vec<usize>,
    /// The key that it is, or is meant to be.
    pub(super) key: String,
    /// Where the list begins that it was an entry of.
    pub(super) list: Option<usize>,
}

/// Where something may be missing.
#[derive(Clone)]
pub(super) enum Table {
    /// The file itself.
    Whole,
    /// The table with this span.
    At(Range<usize>),
}

impl Found {
    /// All of it.
    pub(super) fn faults(&self) -> Vec<Fault> {
        self.faults.borrow().clone()
    }

    pub(super) fn add(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    pub(super) fn leave_out(&self, what: LeftOut) {
        self.left_out.borrow_mut().push(what);
    }

    /// Something that is, or is meant to be, of this key was left out somewhere.
    pub(super) fn has_left_out(&self, key: &str) -> bool {
        self.left_out.borrow().iter().any(|left_out| left_out.key == key)
    }

    pub(super) fn count(&self) -> usize {
        self.faults.borrow().len()
    }
}

impl Source<'_> {
    /// Where a span is.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place::in_file(self.name, self.text, span)
    }

    /// Notes what is wrong at a place of the file.
    pub(super) fn refuse(&self, wrong: Wrong, span: Range<usize>) {
        self.found.add(wrong.at(self.place(span)));
    }

    /// Notes that a table lacks these keys, unless one of them was written and is wrong by itself.
    pub(super) fn lacks(&self, table: &Table, keys: &[&str], fault: Fault) {
        let is_there = |left_out: &LeftOut| keys.contains(&left_out.key.as_str()) && left_out.is_in(table);
        if !self.found.left_out.borrow().iter().any(is_there) {
            self.found.add(fault);
        }
    }

    /// What a value means; what means nothing is noted.
    pub(super) fn read<T: AsRef<str>, M>(
        &self,
        written: Option<&Spanned<T>>,
        judge: impl FnOnce(&str) -> Result<M, Wrong>,
    ) -> Option<M> {
        let written = written?;
        self.judged(judge(written.get_ref().as_ref()), written.span())
    }

    /// What each text of a list means.
    pub(super) fn each<M>(
        &self,
        written: &Spanned<Texts>,
        judge: impl Fn(&str) -> Result<M, Wrong>,
    ) -> Vec<M> {
        let each = written.get_ref().each(&written.span());
        each.into_iter().filter_map(|(text, span)| self.judged(judge(text), span)).collect()
    }

    /// Notes that a list is empty; its entries may have been left out.
    pub(super) fn not_empty(&self, written: &Spanned<Texts>, wrong: Wrong) {
        let span = written.span();
        let had = |left_out: &LeftOut| left_out.list == Some(span.start);
        if written.get_ref().len() == 0 && !self.found.left_out.borrow().iter().any(had) {
            self.refuse(wrong, span);
        }
    }

    pub(super) fn judged<M>(&self, judged: Result<M, Wrong>, span: Range<usize>) -> Option<M> {
        judged.map_err(|wrong| self.refuse(wrong, span)).ok()
    }

    /// Whether nothing in this table was left out, and nothing was found wrong since there were so many faults.
    pub(super) fn is_right(&self, table: &Table, since: usize) -> bool {
        let in_table = |left_out: &LeftOut| left_out.is_in(table);
        self.found.count() == since && !self.found.left_out.borrow().iter().any(in_table)
    }
}

impl LeftOut {
    fn is_in(&self, table: &Table) -> bool {
        match table {
            Table::Whole => self.tables.is_empty(),
            Table::At(span) => self.tables.contains(&span.start),
        }
    }
}
