//! Faults of devices of device DAX, each with the action to take.

use alloc::string::String;

/// The reason why a device of device DAX, or a part of it, cannot be used so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceFault {
    /// An attribute is missing, cannot be read, or holds no value that it can have.
    #[non_exhaustive]
    Attribute {
        /// The attribute's path.
        path: String,
        /// The value that was read, or the reason why none was.
        answer: String,
    },
    /// Programs cannot map the device now: it has another driver than device DAX, or none.
    #[non_exhaustive]
    Driver {
        /// The driver it has: with `kmem` it is RAM of the kernel.
        name: Option<String>,
    },
    /// The length is not a multiple of the device's alignment.
    #[non_exhaustive]
    Length {
        /// The length asked for, or up to the end of the device, in bytes.
        len: u64,
        /// The number of bytes of which it must be a multiple.
        alignment: u64,
    },
    /// Neither cache lines nor pages can be made persistent on it.
    #[non_exhaustive]
    NotPersistable {
        /// The reason.
        reason: String,
        /// The action.
        advice: &'static str,
    },
    /// The device can be made neither longer nor shorter.
    FixedSize,
    /// The kernel has no calls that read or write it.
    MappingOnly,
}

impl core::fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Attribute { path, answer } => write!(
                f,
                "its attribute {path} is of no use: {answer}; see how the device is set up (daxctl list)"
            ),
            Self::Driver { name: Some(name) } => write!(
                f,
                "is not for programs: its driver is {name}{}; give it to device DAX (daxctl \
                 reconfigure-device --mode=devdax)",
                if name == "kmem" { ", so that it is RAM of the kernel" } else { "" },
            ),
            Self::Driver { name: None } => {
                f.write_str("has no driver; enable it (daxctl enable-device)")
            }
            Self::Length { len, alignment } => write!(
                f,
                "length {len} is not a multiple of {alignment}, the device's alignment; round it down"
            ),
            Self::NotPersistable { reason, advice } => {
                write!(f, "cannot be made persistent: {reason}; {advice}")
            }
            Self::FixedSize => f.write_str(
                "is device DAX, whose size programs cannot change; map another part of it, or set it up anew \
                 (daxctl reconfigure-device)",
            ),
            Self::MappingOnly => f.write_str(
                "is device DAX, which no call of the kernel reads or writes; use the mapping alone",
            ),
        }
    }
}
