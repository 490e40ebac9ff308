//! Offsets and lengths that cannot be.

/// An offset, a length or a change of the length that is impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidInput {
    /// A length of zero was asked for.
    ZeroLength,
    /// Offset plus length is more than a file or a mapping can have.
    #[non_exhaustive]
    Overflow {
        /// The offset asked for, in bytes.
        offset: u64,
        /// The length asked for, in bytes.
        len: u64,
    },
    /// The offset is not a multiple of the page size, or of the alignment that the kind of the file requires: that of
    /// huge pages or of a device.
    #[non_exhaustive]
    Misaligned {
        /// The offset asked for, in bytes.
        offset: u64,
        /// The number of bytes of which it must be a multiple.
        alignment: u64,
    },
    /// The length is not a multiple of the alignment that a device of device DAX requires.
    #[non_exhaustive]
    MisalignedLength {
        /// The length asked for, or up to the end of the device, in bytes.
        len: u64,
        /// The number of bytes of which it must be a multiple.
        alignment: u64,
    },
    /// The descriptor of an open file does not permit the accesses that the mapping needs.
    #[non_exhaustive]
    Descriptor {
        /// The mode that it has.
        mode: &'static str,
    },
    /// The addresses to adopt are not a shared mapping of this part of the file: the reason, and the action.
    Mapping(&'static str),
    /// The new length of a growth is less than the mapped length.
    #[non_exhaustive]
    NoGrowth {
        /// Bytes that are mapped.
        mapped: u64,
        /// Bytes asked for.
        asked: u64,
    },
    /// The new length of a shrink is more than the mapped length.
    #[non_exhaustive]
    NoShrinking {
        /// Bytes that are mapped.
        mapped: u64,
        /// Bytes asked for.
        asked: u64,
    },
    /// The file continues after the mapping, so shrinking would cut off bytes that are not mapped.
    #[non_exhaustive]
    Longer {
        /// Bytes the file has.
        size: u64,
        /// The end of the mapping in the file, in bytes.
        end: u64,
    },
    /// A holder of a shared lock cannot change the length of the file.
    SharedLock,
}

impl core::fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::ZeroLength => {
                f.write_str("a length of 0 bytes was asked for; ask for at least 1")
            }
            Self::Overflow { offset, len } => {
                write!(f, "offset {offset} and length {len} exceed the largest file or mapping; ask for less")
            }
            Self::Misaligned { offset, alignment } => {
                write!(f, "offset {offset} is not a multiple of {alignment}; round it down")
            }
            Self::MisalignedLength { len, alignment } => write!(
                f,
                "length {len} is not a multiple of {alignment}, the device's alignment; round it down"
            ),
            Self::Descriptor { mode } => write!(
                f,
                "its descriptor was opened {mode}; open it for reading and writing, or for reading and view it"
            ),
            Self::Mapping(why) => write!(f, "cannot be adopted: {why}"),
            Self::NoGrowth { mapped, asked } => {
                write!(f, "has {mapped} bytes mapped, more than {asked}; ask for a larger size, or shrink it")
            }
            Self::NoShrinking { mapped, asked } => {
                write!(f, "has {mapped} bytes mapped, fewer than {asked}; grow it instead")
            }
            Self::Longer { size, end } => write!(
                f,
                "has {size} bytes, and its mapping ends at {end}, so shrinking would cut off bytes that \
                 are not mapped; map it up to its end"
            ),
            Self::SharedLock => f.write_str(
                "is open under a shared lock, where others may change its length too; open it with the \
                 exclusive one",
            ),
        }
    }
}
