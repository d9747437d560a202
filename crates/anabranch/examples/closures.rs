//! A flow made in Rust, with closures in the place of expressions: `cargo run --example closures`.

use anabranch::RunFlow;
use anabranch::flow::build::{FlowBuilder, act, filter, reduce, stream, work};
use serde::{Deserialize, Serialize};
use std::error::Error;

#[derive(Deserialize)]
struct Order {
    id: u64,
    product: String,
    price: f64,
    count: f64,
}

#[derive(Serialize, Deserialize)]
struct Bill {
    order: u64,
    product: String,
    amount: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let orders: String = (1..=1000)
        .map(|id| {
            let product = ["tea", "milk", "coffee"][id % 3];
            format!("{{\"id\":{id},\"product\":\"{product}\",\"price\":{}.5,\"count\":{}}}\n", id % 7, id % 4)
        })
        .collect();
    std::fs::write(folder.path().join("orders.jsonl"), orders)?;

    let report = FlowBuilder::new("bills")
        .stream("orders", stream().source("orders.jsonl"))
        .stream("sent", stream().sink("sent.jsonl"))
        .stream("largest", stream().sink("largest.jsonl"))
        .step("real", filter("orders", |order: Order| order.count > 0.0))
        .step(
            "bills",
            work("real", |order: Order| Bill {
                order: order.id,
                product: order.product,
                amount: order.price * order.count,
            }),
        )
        // what acts outside is told which attempt for which item it is: a call that is made again has the same id
        .step(
            "sent",
            act("bills", |bill: Bill, attempt| match attempt.id.is_empty() {
                true => Err(format!("the bill of order {} has no id", bill.order)),
                false => Ok(bill),
            })
            .concurrency(16),
        )
        .step(
            "largest",
            reduce("bills").by("item.product").fold(|a: Bill, b: Bill| if a.amount >= b.amount { a } else { b }),
        )
        .build()?
        .run_in(folder.path())?;
    println!("{report}");
    print!("{}", std::fs::read_to_string(folder.path().join("largest.jsonl"))?);
    Ok(())
}
