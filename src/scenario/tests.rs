use super::*;
use std::path::Path;

fn load(text: &str) -> Result<Loaded, Diagnostics> {
    load_text("order.yaml", text, Path::new(""), &Overrides::default())
}

#[test]
fn order_placement_loads() {
    let text = include_str!("../../tests/scenarios/order-placement.yaml");
    let loaded = load(text).unwrap_or_else(|wrong| panic!("{}", wrong.render(false, 100)));
    println!("{:#?}", loaded.plan);
    println!("{}", loaded.explained.render(100));
    println!("{:?} {:?} {}", loaded.notes, loaded.variants, loaded.question);
}

#[test]
fn starter_loads() {
    let loaded = load(STARTER).unwrap_or_else(|wrong| panic!("{}", wrong.render(false, 100)));
    println!("{:?}", loaded.notes);
}

#[test]
fn leader() {
    let text = include_str!("../../tests/scenarios/leader-crash.yaml");
    println!("{}", load(text).unwrap_err().render(false, 100));
}
