//! The architectures that have a folder, with the names of their targets in `target_arch`. No other file has this list.

/// Makes [`with_native`], [`native_only`] and [`with_folders`] from a list of folders, each with its reader in `src/cpu` and
/// its targets. The first token is a dollar sign, for the macros that this one makes.
macro_rules! architectures {
    (@native $d:tt $folder:ident $reader:ident) => {
        /// Calls a macro with the folder of the target's architecture and its reader in `src/cpu`. The reader is
        /// `no_operation` if user mode has no operation, and both are `modelled` under loom and Miri.
        macro_rules! with_native {
            ($d callback:ident) => {
                $d callback! { $folder $reader }
            };
        }
        /// Compiles items if the target's architecture is that of the folder, and its instructions are executed.
        macro_rules! native_only {
            ($folder { $d($d item:item)* }) => { $d($d item)* };
            ($d other:ident { $d($d item:item)* }) => {};
        }
    };
    ($d:tt $($folder:ident $reader:ident: $($target:literal)+;)+) => {
        cfg_if::cfg_if! {
            if #[cfg(any(cachemaint_loom, miri))] {
                architectures! { @native $d modelled modelled }
            } $(else if #[cfg(any($(target_arch = $target),+))] {
                architectures! { @native $d $folder $reader }
            })+ else {
                architectures! { @native $d other no_operation }
            }
        }
        /// Calls a macro with all folders.
        macro_rules! with_folders {
            ($d callback:ident) => {
                $d callback! { $($folder)+ }
            };
        }
    };
}

architectures! { $
    aarch64 aarch64: "aarch64";
    powerpc powerpc: "powerpc64" "powerpc";
    riscv riscv: "riscv64" "riscv32";
    x86 x86: "x86_64" "x86";
    arm no_operation: "arm";
    loongarch64 no_operation: "loongarch64";
    s390x no_operation: "s390x";
}
