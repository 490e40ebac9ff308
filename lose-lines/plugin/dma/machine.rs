//! The machine's physical addresses, as the tool describes them.

/// The memory and the devices that are there from the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The address of the RAM.
    pub ram: u64,
    /// The first and the last address of each device, and the emulator's name of its registers.
    devices: Vec<(u64, u64, String)>,
}

impl Machine {
    /// Parses a description: the address of the RAM, then a line for each device, in hexadecimal.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
        let mut lines = text.lines();
        let ram = hexadecimal(lines.next()?)?;
        let device = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let (first, last) = (hexadecimal(words.next()?)?, hexadecimal(words.next()?)?);
            Some((first, last, words.next()?.to_owned()))
        };
        Some(Self { ram, devices: lines.map(device).collect::<Option<_>>()? })
    }

    /// Returns the name of the device at an address.
    #[must_use]
    pub fn device(&self, at: u64) -> Option<&str> {
        let mut devices = self.devices.iter();
        devices.find(|(first, last, _)| (*first..=*last).contains(&at)).map(|(.., name)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::Machine;

    #[test]
    fn devices_have_the_names_of_their_addresses() {
        let machine =
            Machine::parse("40000000\n9020008 902000f fwcfg.ctl\na000000 a0001ff virtio mmio\n");
        let machine = machine.unwrap();
        assert_eq!((machine.ram, machine.device(0xa00_01ff)), (0x4000_0000, Some("virtio mmio")));
        assert_eq!(machine.device(0x902_0010), None);
        assert_eq!(Machine::parse("x"), None);
        assert_eq!(Machine::parse("0\n1 2\n"), None);
    }
}
