use redb1 as engine;

include!("../redb.rs");
