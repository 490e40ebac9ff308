//! The machine and the run, as the tool describes them.

use std::path::PathBuf;

/// The memory and the devices that are there from the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The file for the findings.
    pub out: PathBuf,
    /// The size of a cache line in bytes, a power of two from 16 to 2048.
    pub line: u64,
    /// The address of the RAM.
    pub ram: u64,
    /// The first and the last address of each device, and the emulator's name of its registers.
    devices: Vec<(u64, u64, String)>,
}

impl Machine {
    /// Parses a description: the file for the findings, the size of a line and the address of the RAM, then a line for
    /// each device. Numbers are hexadecimal.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
        let mut lines = text.lines();
        let out = PathBuf::from(lines.next()?);
        let [line, ram] = [hexadecimal(lines.next()?)?, hexadecimal(lines.next()?)?];
        let device = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let (first, last) = (hexadecimal(words.next()?)?, hexadecimal(words.next()?)?);
            Some((first, last, words.next()?.to_owned()))
        };
        let devices = lines.map(device).collect::<Option<_>>()?;
        let is_size = line.is_power_of_two() && (16..=2048).contains(&line);
        is_size.then_some(Self { out, line, ram, devices })
    }

    /// Returns the name of the device at an address.
    #[must_use]
    pub fn device(&self, at: u64) -> Option<&str> {
        let mut devices = self.devices.iter();
        devices.find(|(first, last, _)| (*first..=*last).contains(&at)).map(|(.., name)| &**name)
    }

    /// Returns the number of the device at an address among those of its name, from 0.
    #[must_use]
    pub fn number(&self, at: u64) -> usize {
        let named = |of: &&(u64, u64, String)| Some(&*of.2) == self.device(at);
        self.devices.iter().filter(named).filter(|(_, last, _)| *last < at).count()
    }

    /// Returns true if a device has a name with a property.
    pub fn has(&self, is_named: impl Fn(&str) -> bool) -> bool {
        self.devices.iter().any(|(.., name)| is_named(name))
    }
}

#[cfg(test)]
mod tests {
    use super::Machine;

    #[test]
    fn devices_have_the_names_of_their_addresses() {
        let text = "/o u t\n40\n40000000\n9020008 902000f fwcfg.ctl\na000000 a0001ff virtio mmio\na000200 a0003ff virtio mmio\n";
        let machine = Machine::parse(text).unwrap();
        assert_eq!((machine.out.to_str(), machine.line), (Some("/o u t"), 64));
        assert_eq!((machine.ram, machine.device(0xa00_01ff)), (0x4000_0000, Some("virtio mmio")));
        assert_eq!(machine.device(0x902_0010), None);
        assert_eq!(
            (machine.number(0xa00_0200), machine.has(|name| name == "virtio mmio")),
            (1, true)
        );
        for wrong in ["/o\nx\n0\n", "/o\n18\n0\n", "/o\n40\n", "/o\n40\n0\n1 2\n"] {
            assert_eq!(Machine::parse(wrong), None, "{wrong}");
        }
    }
}
