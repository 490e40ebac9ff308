//! Devices of device DAX, by their attributes in `/sys`.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A device of device DAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its size in bytes.
    pub(crate) size: usize,
    /// The alignment of its mappings in bytes.
    pub(crate) alignment: usize,
}

/// Returns true if a character device is one of device DAX.
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
    // Kernels before 5.10 do not show it.
    let alignment = attribute("align").filter(|align| align.is_power_of_two()).unwrap_or(1);
    Some(Device { size, alignment })
}

fn directory(number: libc::dev_t) -> PathBuf {
    PathBuf::from(format!("/sys/dev/char/{}:{}", libc::major(number), libc::minor(number)))
}

/// The attribute that flushes the buffers of a device's memory: `deep_flush` of its region.
#[derive(Debug)]
pub(crate) struct DeepFlush {
    /// `None` if the kernel shows no region of the device.
    attribute: Option<PathBuf>,
}

impl DeepFlush {
    /// Returns the attribute of a region, by its name.
    pub(crate) fn of(region: Option<&str>) -> Self {
        let devices = PathBuf::from("/sys/bus/nd/devices");
        Self { attribute: region.map(|name| devices.join(name).join("deep_flush")) }
    }

    /// Flushes, if the region has something to flush.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let Some(path) = &self.attribute else {
            return Err(io::Error::from_raw_os_error(libc::ENOTSUP));
        };
        // It reads 0 where a loss of power empties the queues (Linux `drivers/nvdimm/region_devs.c`, deep_flush_show).
        if fs::read(path)? == b"0\n" { Ok(()) } else { fs::write(path, "1") }
    }
}
