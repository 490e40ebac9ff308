#[test]
fn random() {
    let n: u64 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let mut s = std::env::var("S").ok().and_then(|n| n.parse().ok()).unwrap_or(0x9e37_79b9_7f4a_7c15_u64);
    let mut next = || { s ^= s << 13; s ^= s >> 7; s ^= s << 17; s };
    for i in 0..n {
        let len = 40 + next() % 600;
        let bytes: Vec<u8> = (0..len).map(|_| { let r = next(); if r % 3 == 0 { (r >> 8) as u8 & 7 } else { (r >> 8) as u8 } }).collect();
        std::fs::write("/tmp/last_input", &bytes).unwrap();
        let (name, target) = cachemaint_fuzz::TARGETS[(i % 2) as usize];
        if i % 20000 < 2 { eprintln!("{i} {name}"); }
        target(&bytes);
    }
}
