//! How large a world is, and how long faults are injected in it.

use patchwave::time::Span;

/// The size of a random world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Two to four images in a chain or diamond, one vulnerability, and less than half an hour of
    /// faults. Twelve run in the time of a large one. Most defects show in a world as small as
    /// this: the small scope hypothesis (Jackson, Software Abstractions, 2006).
    Small,
    /// One family of 1,000 to 10,000 images, and hours of faults: for what only a large family
    /// needs, such as walks of many pages, queues for slots and sweeps that are cut off.
    Huge,
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
            Self::Huge => [[1, 2], [20, 100], [980, 9_900]],
        }
    }

    /// Returns how long faults are injected at least and at most.
    pub(crate) fn fault_time(self) -> [Span; 2] {
        match self {
            Self::Small => [Span::minutes(12), Span::minutes(24)],
            Self::Large | Self::Huge => [Span::hours(2), Span::hours(6)],
        }
    }

    /// Returns the fewest and most builds at once, and the fewest and most starts a day.
    pub(crate) fn limits(self) -> [[u32; 2]; 2] {
        match self {
            Self::Small | Self::Large => [[1, 4], [6, 30]],
            Self::Huge => [[100, 500], [10_000, 40_000]],
        }
    }

    /// Returns how many builds of the team with a limit run at once.
    pub(crate) fn builds_of_a_team(self) -> u32 {
        match self {
            Self::Small | Self::Large => 1,
            Self::Huge => 80,
        }
    }

    /// In one world of so many, faults are injected for days. They are as many as in the others.
    pub(crate) fn days_in(self) -> u32 {
        match self {
            Self::Small => 1_024,
            Self::Large => 64,
            Self::Huge => u32::MAX,
        }
    }

    /// Returns the fewest and most vulnerabilities.
    pub(crate) fn vulnerabilities(self) -> [u32; 2] {
        match self {
            Self::Small => [1, 2],
            Self::Large | Self::Huge => [3, 8],
        }
    }
}
