include!("../level.rs");

#[link(name = "rocksdb")]
unsafe extern "C" {}

c_interface!("rocksdb_");
