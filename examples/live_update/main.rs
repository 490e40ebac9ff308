//! State that is handed over in memory: a process ends, and its successor continues with the memfd that it inherits.
//!
//! A virtual machine monitor that updates itself does this with a descriptor that survives `execve`. A kernel that
//! preserves memfds (Linux's live update orchestrator) does it across a kexec. The store is the same in both cases.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example live_update
//! ```

#![cfg_attr(
    target_os = "linux",
    expect(clippy::print_stdout, reason = "the result of the program")
)]

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use cachemaint::dax::Options;
    use cachemaint_store::Store;
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::process::Command;

    let options = Options::new().allow_page_granularity();
    let Some(number) = std::env::args().nth(1) else {
        // Inherited by the successor: without MFD_CLOEXEC.
        let memory =
            File::from(rustix::fs::memfd_create("state", rustix::fs::MemfdFlags::empty())?);
        memory.set_len(1 << 20)?;
        let (mut store, _) = Store::create_new(options.open_file(memory.try_clone()?)?)?;
        let mut transaction = store.begin()?;
        transaction.put("registers", &[7; 4096])?;
        transaction.commit()?;
        cachemaint_boots::put(&mut store, "started")?;
        drop(store); // and with it the lock
        let number = memory.as_raw_fd().to_string();
        let successor = Command::new(std::env::current_exe()?).arg(number).status()?;
        return if successor.success() { Ok(()) } else { Err("the successor failed".into()) };
    };
    let memory = File::options().read(true).write(true).open(format!("/proc/self/fd/{number}"))?;
    let file = options.open_file(memory)?;
    println!("{}", file.guarantee().reason);
    let (mut store, _) = Store::open(file)?;
    let registers = store.load("registers")?;
    let verdict = cachemaint_boots::renew(&mut store, "started")?.ok_or("there is no stamp")?;
    println!("{} bytes, {}", registers.len(), verdict.origin);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {}
