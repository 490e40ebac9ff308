//! The lanes as a test program. `-- --list` names them, and `-- capi/` runs those for C programs.

fn main() -> std::process::ExitCode {
    cachemaint_lab_tests::main()
}
