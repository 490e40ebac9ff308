//! The instructions of a back end on the lines of a range, between its fences.

/// The operand is a whole register, even if a pointer is only half of one.
#[cfg(any(target_pointer_width = "64", target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) type Register = u64;
#[cfg(not(any(target_pointer_width = "64", target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) type Register = u32;

/// Makes the function `maintain` of a back end from the assembly of each instruction and the register of its operand,
/// with the types that the back end has imported.
macro_rules! maintain {
    ($(if $instruction:ident => $assembly:literal, $register:tt;)+ else $last:ident => $of_last:literal, $for_last:tt;) => {
        /// Executes the instruction of this code on every line that `len` bytes from `start` touch, between the fences
        /// that `fences` names for it; without bytes, only the fences. Branches on the code once.
        ///
        /// # Safety
        /// 1. The CPU has the instruction, and it may be executed at this privilege level.
        /// 2. Each line holds a byte that this thread may read.
        #[inline(always)]
        pub unsafe fn maintain(
            code: u8,
            start: *const u8,
            len: usize,
            within: u16,
            fences: impl FnOnce(Instruction) -> Fences,
        ) {
            macro_rules! by {
                ($known:ident, $text:literal, $operand:tt) => {{
                    let fences = fences($known);
                    fence(fences.before);
                    for_each_line(start, len, within, |line| {
                        // SAFETY: it is not undefined by (1), and does not fault by (2); it changes no value that the
                        // program can see.
                        unsafe {
                            asm!(
                                $text,
                                in($operand) line as Register,
                                options(nostack, preserves_flags),
                            );
                        }
                    });
                    fence(fences.after);
                }};
            }
            $(if code & $instruction.code != 0 {
                by!($instruction, $assembly, $register);
            } else)+ {
                by!($last, $of_last, $for_last);
            }
        }
    };
}
pub(super) use maintain;
