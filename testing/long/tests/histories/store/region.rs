//! The region of a store.

use super::{REGION, REGION_BYTES, Shape, WORD};
use cachemaint::medium::Medium;
use cachemaint_sim::{Life, SimMedium, Violation};
use cachemaint_store::{ErrorKind, Store};
use cachemaint_test_support::part::Part;
use core::sync::atomic::Ordering::Relaxed;

/// Returns the word of the region, if there is one.
pub(super) fn region_of(store: &Store<Part<'_, SimMedium>>, medium: &SimMedium) -> Option<u64> {
    let found = store.stat(REGION);
    found.map(|info| Medium::load(medium, info.offset + WORD, Relaxed))
}

/// Creates the region if it is missing, and persists the next word of it.
pub(super) fn use_region(
    life: &Life<'_, Shape>,
    store: &mut Store<Part<'_, SimMedium>>,
) -> Result<(), Violation> {
    let before = region_of(store, life.medium).unwrap_or(0);
    let (former, word) = (life.model().region_later, life.model().next + 1);
    life.note(|model| {
        model.region_later.extend([Some(before), Some(word)]);
        model.next += 1;
    });
    let region = match store.region_or_create(REGION, REGION_BYTES) {
        Err(error) if matches!(error.kind(), ErrorKind::Full { .. }) => {
            life.note(|model| model.region_later = former);
            return Ok(());
        }
        region => region?,
    };
    let found = region.load(WORD, Relaxed);
    Violation::unless(found == before, || format!("the region has {found}, not {before}"))?;
    region.store(WORD, word, Relaxed);
    region.persist(WORD..WORD + 8)?;
    life.note(|model| (model.region, model.region_later) = (Some(word), Vec::new()));
    Ok(())
}

pub(super) fn delete_region(
    life: &Life<'_, Shape>,
    store: &mut Store<Part<'_, SimMedium>>,
) -> Result<(), Violation> {
    if region_of(store, life.medium).is_none() {
        return Ok(());
    }
    life.note(|model| model.region_later.push(None));
    let mut transaction = store.begin()?;
    transaction.delete(REGION)?;
    transaction.commit()?;
    life.note(|model| (model.region, model.region_later) = (None, Vec::new()));
    Ok(())
}
