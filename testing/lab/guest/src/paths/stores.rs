//! The paths of a store of blobs, on its own file.

use super::{Names, range};
use anyhow::Result;
use cachemaint::dax::{self, DaxFile};
use cachemaint_store::{Attributes, Store, Transaction};
use lose_lines_mark as mark;

/// The size of the file in bytes.
const LEN: u64 = 1 << 20;

/// The operations of a transaction before its commit.
type OnStore = (&'static str, fn(&mut Transaction<'_, DaxFile>) -> Result<()>);

const ON_STORE: [OnStore; 6] = [
    ("put of 300 bytes", |transaction| Ok(transaction.put("small", &[1; 300])?)),
    ("writer of 200 kB", |transaction| {
        Ok(transaction.put_with("large", 200_000, |writer| {
            [&[2; 70_001][..], &[3; 129_999]].into_iter().try_for_each(|piece| writer.append(piece))
        })?)
    }),
    ("several puts", |transaction| {
        let attributes = Attributes::new("small").metadata(&[4; 100]).alignment(4096);
        transaction.put(attributes, &[4; 77])?;
        transaction.put("other", &[5; 5000])?;
        Ok(transaction.put("empty", &[])?)
    }),
    ("replacement of 200 kB", |transaction| Ok(transaction.put("large", &[6; 200_000])?)),
    ("rename", |transaction| Ok(transaction.rename("small", "renamed")?)),
    ("delete", |transaction| Ok(transaction.delete("other")?)),
];

/// Runs every path of a store, up to the end of its commit.
pub(super) fn on_store(path: &str, names: &mut Names) -> Result<()> {
    let all = |file: &DaxFile| mark::watch(range(file, 0..LEN));
    let file = dax::Options::new().create_new(path, LEN)?;
    all(&file);
    let (mut store, _) = Store::create_new(file)?;
    names.on_file("store: create");
    for (name, work) in ON_STORE {
        all(store.medium());
        let mut transaction = store.begin()?;
        work(&mut transaction)?;
        transaction.commit()?;
        names.on_file(&format!("store: {name}"));
    }
    all(store.medium());
    store.seal()?;
    names.on_file("store: seal");
    drop(store);
    let file = dax::Options::new().open(path)?;
    all(&file);
    Store::open(file)?;
    names.on_file("store: open");
    Ok(())
}
