//! Errors leave a transaction unchanged.

use crate::faulty::Faulty;
use crate::life::options;
use crate::random::Random;
use cachemaint_store::{Attributes, Error, ErrorKind, Transaction};
use cachemaint_test_support::cases::cases;
use cachemaint_test_support::counting::Broken;
use cachemaint_test_support::plain::Plain;
use std::collections::BTreeMap;

/// Makes a change by chance, which may be impossible in many ways.
fn change(
    random: &mut Random,
    transaction: &mut Transaction<'_, Faulty>,
) -> Result<(), Error<Broken>> {
    let names = ["", "a", "b", "c", "d", "in use", "region", &"n".repeat(255), &"n".repeat(256)];
    let (name, to) = (random.one_of(&names), random.one_of(&names));
    let metadata = vec![2; random.one_of(&[0, 0, 10, 500, 2000, 4096, 4097])];
    let alignment = random.one_of(&[1, 1, 1, 3, 64, 4096, 1 << 31]);
    let bytes = vec![3; random.one_of(&[0, 100, 256, 257, 1000, 5000, 20_000, 70_000])];
    let attributes = Attributes::new(name).metadata(&metadata).alignment(alignment);
    match random.below(8) {
        0 => transaction.delete(name),
        1 => transaction.rename(name, to),
        2 => transaction.create_region(attributes, random.one_of(&[0, 100, 4096, 8192, 1 << 20])),
        3 => {
            transaction.put_with(attributes, bytes.len() as u64 + 1, |writer| writer.append(&bytes))
        }
        4 => transaction.put_with(attributes, bytes.len() as u64, |writer| {
            writer.append(&bytes)?;
            writer.append(&bytes)
        }),
        5 => transaction.put_with(attributes, bytes.len() as u64, |writer| writer.append(&bytes)),
        _ => transaction.put(attributes, &bytes),
    }
}

/// Returns the name of an error's kind, or the rule of an invalid argument.
fn kind(error: &Error<Broken>) -> String {
    let text = match error.kind() {
        ErrorKind::Invalid { rule, .. } => return (*rule).into(),
        kind => format!("{kind:?}"),
    };
    text.split([' ', '(']).next().unwrap().into()
}

#[test]
fn a_change_that_fails_leaves_the_transaction_as_it_was() {
    let mut kinds = BTreeMap::<String, u32>::new();
    for seed in 0..cases(300) {
        let mut random = Random(seed);
        let medium = Faulty::new(Plain::zeros((44 + random.below(60)) << 10), false);
        let (mut store, _) = options().create_new(medium.clone()).unwrap();
        let _region = store.region_or_create("in use", 4096).ok();
        let free = store.capacity();
        let mut transaction = store.begin().unwrap();
        for _ in 0..30 {
            let before = format!("{transaction:?}");
            medium.fault_after(if random.once_in(5) { 0 } else { u64::MAX });
            let Err(error) = change(&mut random, &mut transaction) else { continue };
            assert!(format!("{transaction:?}") == before, "seed {seed}: {error}");
            *kinds.entry(kind(&error)).or_default() += 1;
        }
        medium.fault_after(u64::MAX);
        drop(transaction);
        assert_eq!(store.capacity(), free);
    }
    // Five rules, and every other error of a change.
    assert_eq!(kinds.len(), 5 + 6, "{kinds:#?}");
}
