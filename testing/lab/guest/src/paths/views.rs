//! Views that write back the stores of other programs. The plugin knows lines by their addresses, so a view must be mapped
//! at the same address as in the program that stores.

use super::{LEN, Names, range};
use anyhow::{Result, ensure};
use cachemaint::dax::{DaxView, Options};
use lose_lines_mark as mark;

/// Checks a view of the stores of a program that never persisted them and has ended.
pub(super) fn on_view(path: &str, names: &mut Names) -> Result<()> {
    let file = Options::new().create_new(path, LEN)?;
    let place = range(&file, 0..LEN);
    mark::watch(place.clone());
    file.write(70, &[11; 3000]);
    file.write((1 << 20) - 8, &[11; 16]);
    file.write(LEN - 1, &[11; 1]);
    drop(file);
    write_back(&view(path, place.start.addr())?)?;
    names.on_file("view: what others have stored");
    Ok(())
}

/// Views a file, which must be mapped at this address. Its pages are mapped too: in an emulator, the write-back of an
/// unmapped page does nothing.
fn view(path: &str, start: usize) -> Result<DaxView> {
    let view = Options::new().populate().view(path)?;
    let at = view.as_ptr(0).addr();
    ensure!(at == start, "mapped at {at:#x}, not at {start:#x}");
    Ok(view)
}

/// Makes everything persistent that others have stored, as a pass of `cachemaint guard` does.
fn write_back(view: &DaxView) -> Result<()> {
    view.order_observed();
    Ok(view.persist(0..view.len())?)
}
