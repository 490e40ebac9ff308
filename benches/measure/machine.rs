//! The machine of a measurement, without which a figure is worthless.

use cachemaint::report::Hypervisor;
use cachemaint_inspect::HostReport;
use cachemaint_inspect::guest::HypervisorKind;

/// The machine, as far as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The CPU.
    pub cpu: String,
    /// The hypervisor, `none shown`, or `unknown` if the architecture does not report it.
    pub hypervisor: String,
    /// The kernel and its release, or the reason why it is unknown.
    pub kernel: String,
}

impl Machine {
    /// Returns this machine.
    #[must_use]
    pub fn this() -> Self {
        let HostReport { cpu, kernel, .. } = HostReport::host();
        Self {
            cpu: cpu.identity.to_string(),
            hypervisor: name(cpu.hypervisor),
            kernel: match kernel {
                Ok(kernel) => format!("{} {}", kernel.name, kernel.release),
                Err(unknown) => unknown.to_string(),
            },
        }
    }
}

fn name(hypervisor: Hypervisor) -> String {
    match (HypervisorKind::of(&hypervisor), hypervisor) {
        (Some(kind), _) => kind.to_string(),
        (None, Hypervisor::Present { signatures, .. }) => {
            let signature = signatures.iter().next().map_or("", |signature| signature);
            format!("hypervisor \"{signature}\"")
        }
        (None, Hypervisor::Absent) => "none shown".to_owned(),
        (None, _) => "unknown".to_owned(),
    }
}
