//! Device-DAX devices, described by their attributes in `/sys`.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A device-DAX device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// The size of the device in bytes.
    pub(crate) size: usize,
    /// The alignment of its mappings in bytes.
    pub(crate) alignment: usize,
}

/// Returns true if a character device is a device-DAX device.
pub(crate) fn is_dax(number: libc::dev_t) -> io::Result<bool> {
    let subsystem = fs::canonicalize(directory(number).join("subsystem"))?;
    Ok(subsystem.file_name().is_some_and(|name| name == "dax"))
}

/// Reads the attributes of a device.
pub(crate) fn read(number: libc::dev_t) -> Option<Device> {
    let directory = directory(number);
    let attribute = |name| {
        let text = fs::read_to_string(directory.join(name)).ok()?;
        text.trim().parse::<usize>().ok()
    };
    let size = attribute("size")?;
    // Kernels before 5.10 do not have this attribute.
    let alignment = attribute("align").filter(|align| align.is_power_of_two()).unwrap_or(1);
    Some(Device { size, alignment })
}

fn directory(number: libc::dev_t) -> PathBuf {
    PathBuf::from(format!("/sys/dev/char/{}:{}", libc::major(number), libc::minor(number)))
}
