use sled034 as engine;

include!("../sled.rs");
