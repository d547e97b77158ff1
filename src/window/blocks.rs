//! The events of a window that are in memory, in blocks.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

use super::block::Block;

/// A run of events without a break. Who holds one of its blocks keeps that and all after it.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Never empty; the last one is being filled.
    all: VecDeque<Block>,
    /// How many blocks were let go: the number of the first one that is here.
    gone: u64,
    cost: usize,
}

#[expect(clippy::indexing_slicing, reason = "there is a block always, and a place in them was just found")]
impl Blocks {
    /// No events; the first one will have this number.
    pub(super) fn new(first: u64, now: Instant) -> Self {
        let first = Block::new(first, 0, now);
        Self { cost: first.cost(), all: VecDeque::from([first]), gone: 0 }
    }

    /// What they cost, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// The same, counted anew.
    #[cfg(test)]
    pub(super) fn counted_cost(&self) -> usize {
        self.all.iter().map(Block::cost).sum()
    }

    /// The number of the oldest event that is here, or of the next one.
    pub(super) fn first(&self) -> u64 {
        self.all[0].first()
    }

    /// The number that the next event will have.
    pub(super) fn end(&self) -> u64 {
        self.last().end()
    }

    /// Of the last block there is more than its beginning.
    pub(super) fn has_last(&self) -> bool {
        self.last().end() > self.last().first()
    }

    /// Where the second block begins, if there is one.
    pub(super) fn second(&self) -> Option<u64> {
        self.all.get(1).map(Block::first)
    }

    /// The block that an event is in.
    pub(super) fn of(&self, number: u64) -> &Block {
        &self.all[self.find(number)]
    }

    /// How many bytes there are from this event on.
    pub(super) fn bytes_from(&self, number: u64) -> usize {
        (self.last().offset(self.end()) - self.of(number).offset(number)) as usize
    }

    /// All that is here from this event on, in pieces.
    pub(super) fn slices_from(&self, number: u64) -> Vec<Bytes> {
        let blocks = self.all.iter().filter(|block| block.end() > number);
        blocks.map(|block| block.slice(block.first().max(number)..block.end())).collect()
    }

    /// Appends an event.
    pub(super) fn push(&mut self, event: Bytes, now: Instant) {
        if self.last().is_full() {
            let next = Block::new(self.end(), self.last().offset(self.end()), now);
            self.cost += next.cost();
            self.all.push_back(next);
        }
        if let Some(last) = self.all.back_mut() {
            self.cost -= last.cost();
            last.push(event, now);
            self.cost += last.cost();
        }
    }

    /// Takes the bytes of these events away, which are in order; they keep their numbers. Says how many bytes there were
    /// from `low` on.
    pub(super) fn empty(&mut self, mut numbers: Vec<u64>, low: u64) -> usize {
        let mut bytes = 0;
        // From the end, so that each block is written anew once.
        while let Some(&last) = numbers.last() {
            let at = self.find(last);
            let first = self.all[at].first();
            let in_block = numbers.split_off(numbers.partition_point(|&number| number < first));
            let counted = in_block.iter().filter(|&&number| number >= low);
            bytes += counted.map(|&number| self.all[at].size(number)).sum::<usize>();
            let gone = self.all[at].empty(&in_block);
            self.cost -= gone;
            self.all.range_mut(at + 1..).for_each(|block| block.move_up(gone));
        }
        bytes
    }

    /// Holds the block of an event, or the last one if the event has not come; says which that is. Nothing changes where
    /// that is `held` already.
    pub(super) fn hold(&mut self, number: u64, held: Option<u64>) -> u64 {
        let at = if number >= self.end() { self.all.len() - 1 } else { self.find(number) };
        let block = self.gone + at as u64;
        if held != Some(block) {
            self.release(held);
            self.all[at].readers += 1;
        }
        block
    }

    /// What was held is held no more.
    pub(super) fn release(&mut self, held: Option<u64>) {
        if let Some(at) = held.and_then(|number| number.checked_sub(self.gone)) {
            self.all[at as usize].readers -= 1;
        }
    }

    /// Drops the blocks before an event that nobody holds.
    pub(super) fn let_go(&mut self, low: u64) {
        while self.all.len() > 1 && self.all[0].end() <= low && self.all[0].readers == 0 {
            self.drop_first();
        }
    }

    /// Drops the oldest block, whoever holds it.
    pub(super) fn drop_first(&mut self) {
        if let Some(block) = self.all.pop_front() {
            self.cost -= block.cost();
            self.gone += 1;
        }
    }

    /// Drops all of them, whoever holds them, and begins another.
    pub(super) fn renew(&mut self, now: Instant) {
        let next = Block::new(self.end(), self.last().offset(self.end()), now);
        self.gone += self.all.len() as u64;
        self.cost = next.cost();
        self.all = VecDeque::from([next]);
    }

    /// Holds the first block; says which that is.
    pub(super) fn hold_first(&mut self) -> u64 {
        self.all[0].readers += 1;
        self.gone
    }

    fn last(&self) -> &Block {
        &self.all[self.all.len() - 1]
    }

    /// The index of the block that holds the event.
    fn find(&self, number: u64) -> usize {
        if self.last().first() <= number {
            return self.all.len() - 1;
        }
        self.all.partition_point(|block| block.first() <= number).saturating_sub(1)
    }
}
