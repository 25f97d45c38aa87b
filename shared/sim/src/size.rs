//! How large a world is, and how long faults are injected in it.

use patchwave::time::Span;

/// The size of a random world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Two to four images in a chain or diamond, one vulnerability, and less than half an hour of
    /// faults. Twelve run in the time of a large one. Most defects show in a world as small as
    /// this: the small scope hypothesis (Jackson, Software Abstractions, 2006).
    Small,
    /// Three to eight images, several vulnerabilities, and hours of faults: for the defects that
    /// need more.
    Large,
}

impl Size {
    /// Returns the fewest and most bases, platforms and applications.
    pub(crate) fn images(self) -> [[u32; 2]; 3] {
        match self {
            Self::Small => [[1, 1], [1, 2], [0, 1]],
            Self::Large => [[1, 2], [1, 3], [1, 3]],
        }
    }

    /// Returns how long faults are injected at least and at most.
    pub(crate) fn fault_time(self) -> [Span; 2] {
        match self {
            Self::Small => [Span::minutes(12), Span::minutes(24)],
            Self::Large => [Span::hours(2), Span::hours(6)],
        }
    }

    /// In one world of so many, faults are injected for days. They are as many as in the others.
    pub(crate) fn days_in(self) -> u32 {
        match self {
            Self::Small => 1_024,
            Self::Large => 64,
        }
    }

    /// Returns the fewest and most vulnerabilities.
    pub(crate) fn vulnerabilities(self) -> [u32; 2] {
        match self {
            Self::Small => [1, 2],
            Self::Large => [3, 8],
        }
    }
}
