//! The calls of a worker, and the answers, as values that are cheap to copy and compare.

/// What a worker asks of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Due,
    Ready,
    Records(Images),
    Slots,
    Currents(Images),
    /// Reads whether the scan of the last version of `b` is complete.
    Scanned,
    /// Lists the versions of an image.
    History(u8),
    /// Reads the execution of this claim.
    Execution(u32),
    /// Writes the record of an image.
    Save(u8, u32),
    Claim(u8, u32),
    /// Gives back the slot of an image if its record has this fence.
    Free(u8, u64),
    Start(u32),
}

impl Call {
    /// Returns whether the call changes the world.
    pub(crate) fn is_effect(self) -> bool {
        matches!(self, Self::Save(..) | Self::Claim(..) | Self::Free(..) | Self::Start(_))
    }

    /// Returns whether the worker goes on without the answer. A pass that ends before it wrote
    /// anything is the same as an event that was never delivered.
    pub(crate) fn is_survivable(self) -> bool {
        self.is_effect() || matches!(self, Self::Currents(_) | Self::Scanned | Self::Execution(_))
    }
}

/// What the world answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    Listed(Images),
    Records([Option<u32>; 4]),
    Slots(Images),
    Currents([u32; 4]),
    Scanned(bool),
    /// The numbers of the newest versions; `u32::MAX` where there is none.
    History([u32; 4]),
    NotFound,
    Found {
        run: u8,
        ended: Option<Ended>,
    },
    Done,
    Conflict,
    AtLimit,
    Started(u8),
    /// The call or its answer was lost.
    Lost,
}

/// How a build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ended {
    /// It pushed this version.
    Pushed(u32),
    Failed,
}

/// A set of images, one bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Images(pub(crate) u8);

impl Images {
    pub(crate) fn has(self, image: u8) -> bool {
        self.0 & (1 << image) != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (0..4).filter(move |image| self.has(*image))
    }

    pub(crate) fn with(self, image: u8) -> Self {
        Self(self.0 | 1 << image)
    }
}

impl FromIterator<u8> for Images {
    fn from_iter<I: IntoIterator<Item = u8>>(images: I) -> Self {
        images.into_iter().fold(Self::default(), Self::with)
    }
}
