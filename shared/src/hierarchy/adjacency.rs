//! Who is linked to whom, as rows of numbers.

use super::ParentKind;

/// One end of an edge: what the child takes, and the number of the image there.
pub(super) type Link = (ParentKind, u32);

/// Everybody's links in one row, and where each image's begin: a million images are three
/// allocations, not a million. A walk reads four bytes an edge, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Adjacency {
    starts: Vec<u32>,
    numbers: Vec<u32>,
    kinds: Vec<ParentKind>,
}

impl Adjacency {
    /// Lays out the links of each image, in their order.
    pub(super) fn of_each(links: impl Iterator<Item = Vec<Link>>) -> Self {
        let mut row = Self { starts: vec![0], numbers: Vec::new(), kinds: Vec::new() };
        for links in links {
            for (kind, number) in links {
                row.kinds.push(kind);
                row.numbers.push(number);
            }
            row.starts.push(count(row.numbers.len()));
        }
        row
    }

    /// Turns all edges round: those of one kind first, then those of the other, each ascending.
    pub(super) fn reversed(&self) -> Self {
        let mut starts = vec![0; self.starts.len()];
        for number in &self.numbers {
            starts[position(*number) + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut next = starts.clone();
        let mut numbers = vec![0; self.numbers.len()];
        let mut kinds = vec![ParentKind::From; self.numbers.len()];
        for wanted in [ParentKind::From, ParentKind::CopyFrom] {
            for from in 0..count(self.starts.len() - 1) {
                for (kind, to) in self.links(from).filter(|(kind, _)| *kind == wanted) {
                    let at = position(next[position(to)]);
                    next[position(to)] += 1;
                    numbers[at] = from;
                    kinds[at] = kind;
                }
            }
        }
        Self { starts, numbers, kinds }
    }

    /// Returns the images at the other ends of an image's links.
    pub(super) fn of(&self, number: u32) -> &[u32] {
        &self.numbers[self.range(number)]
    }

    /// Returns an image's links.
    pub(super) fn links(&self, number: u32) -> impl Iterator<Item = Link> + use<'_> {
        let range = self.range(number);
        self.kinds[range.clone()].iter().copied().zip(self.numbers[range].iter().copied())
    }

    fn range(&self, number: u32) -> std::ops::Range<usize> {
        let at = position(number);
        position(self.starts[at])..position(self.starts[at + 1])
    }
}

/// Returns the place of an image's number in a row.
pub(super) const fn position(number: u32) -> usize {
    number as usize
}

/// Returns a length as a number. No file has so many images or edges that it would not fit.
pub(super) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
