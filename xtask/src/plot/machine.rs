//! The machine of a figure's measurement, as far as Linux describes it.

use std::fs;

use anyhow::{Context as _, Result};

/// Returns CPU, kernel and medium, in one line.
pub(super) fn describe() -> Result<String> {
    Ok(format!("{}; memory: DRAM", processor_and_kernel()?))
}

/// Returns CPU and kernel.
pub(crate) fn processor_and_kernel() -> Result<String> {
    let read = |path| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let release = read("/proc/sys/kernel/osrelease")?;
    let cpu = cpu(&read("/proc/cpuinfo")?);
    Ok(format!("{cpu}; Linux {}", release.trim()))
}

/// Returns the first CPU of `/proc/cpuinfo`: its name on x86, with the numbers that distinguish
/// models of the same name; on arm64 there are numbers only.
fn cpu(cpuinfo: &str) -> String {
    let value = |key: &str| {
        let mut pairs = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(found, _)| found.trim() == key).map(|(_, value)| value.trim())
    };
    if let (Some(name), Some(family), Some(model)) =
        (value("model name"), value("cpu family"), value("model"))
    {
        return format!("{name} (family {family} model {model})");
    }
    match (value("CPU implementer"), value("CPU part")) {
        (Some(implementer), Some(part)) => format!("CPU implementer {implementer} part {part}"),
        _ => "unknown CPU".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::cpu;

    #[test]
    fn an_x86_cpu_has_its_name_and_model() {
        let text = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 207\n\
                    model name\t: INTEL(R) XEON(R) PLATINUM 8581C\nstepping\t: 2\n\nprocessor\t: 1\n";
        assert_eq!(cpu(text), "INTEL(R) XEON(R) PLATINUM 8581C (family 6 model 207)");
    }

    #[test]
    fn an_arm64_cpu_has_its_numbers() {
        let text = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n";
        assert_eq!(cpu(text), "CPU implementer 0x41 part 0xd40");
    }

    #[test]
    fn a_cpu_that_says_nothing_is_unknown() {
        assert_eq!(cpu("processor\t: 0\nhart\t: 1\n"), "unknown CPU");
    }
}
