//! How large a world is, and how long things go wrong in it.

use patchwave::time::Span;

/// The size of a random world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Two to four images, a chain or a diamond, one vulnerability, and less than half an hour of trouble. Twelve are played in
    /// the time of a large one, and that most defects show in something as small is known as the small scope hypothesis
    /// (Jackson, Software Abstractions, 2006). Not all do: the large ones are played for those.
    Small,
    /// Three to eight images, several vulnerabilities, and hours of trouble.
    Large,
}

impl Size {
    /// How many bases, platforms and applications there are, at least and at most.
    pub(crate) fn images(self) -> [[u32; 2]; 3] {
        match self {
            Self::Small => [[1, 1], [1, 2], [0, 1]],
            Self::Large => [[1, 2], [1, 3], [1, 3]],
        }
    }

    /// How long things go wrong at least and at most.
    pub(crate) fn hostile_time(self) -> [Span; 2] {
        match self {
            Self::Small => [Span::minutes(12), Span::minutes(24)],
            Self::Large => [Span::hours(2), Span::hours(6)],
        }
    }

    /// For how many worlds there is one in which things go wrong for days. As much happens in it as in the others.
    pub(crate) fn days_in(self) -> u32 {
        match self {
            Self::Small => 1_024,
            Self::Large => 64,
        }
    }

    /// How many vulnerabilities become known, at least and at most.
    pub(crate) fn vulnerabilities(self) -> [u32; 2] {
        match self {
            Self::Small => [1, 1],
            Self::Large => [3, 8],
        }
    }
}
