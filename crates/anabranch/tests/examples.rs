//! Every example gives what it promises: twice in a row, and through a kill.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::{Place, as_expected};
use std::process::Child;

/// Kills the process as soon as the log holds something, wherever it is then.
fn kill_in_the_middle(place: &Place) {
    let mut child: Child = place.command(&["run"]).spawn().expect("starts");
    while !place.has(".anabranch/index.db") && child.try_wait().expect("waits").is_none() {
        std::hint::spin_loop();
    }
    child.kill().expect("kills");
    child.wait().expect("waits");
}

fn twice_and_through_a_kill(example: &str) {
    let place = Place::example(example);
    for _ in 0..2 {
        place.run(&["run"]).exits(0).says("balanced ✓");
        as_expected(&place);
    }
    let place = Place::example(example);
    kill_in_the_middle(&place);
    place.run(&["run"]).exits(0).says("balanced ✓");
    as_expected(&place);
}

#[test]
fn new_user_sign_up() {
    twice_and_through_a_kill("03-new-user-sign-up");
}

#[test]
fn word_count() {
    twice_and_through_a_kill("04-word-count");
}

#[test]
fn barrier() {
    twice_and_through_a_kill("05-barrier");
}

#[test]
fn a_barrier_holds_for_one_bad_part() {
    let place = Place::example("05-barrier");
    place.run(&["run"]).exits(0);
    let before = place.read("out/published.txt");
    place.run(&["run", "--env", "PARTS=bad"]).exits(4).says("◆ held: 1 of 4 failed, tolerate is 0").says("balanced ✓");
    assert_eq!(place.read("out/published.txt"), before, "nothing of the held batch was published");
    assert!(!place.has("out/published.txt.partial"), "nothing was begun");
    let told = place.run(&["explain", "flow.yaml", "all-made", "--env", "PARTS=bad"]).exits(0);
    assert!(told.out.contains("cannot make a broken wheel"), "{}", told.out);
    place.run(&["run"]).exits(0).says("balanced ✓");
}

#[test]
fn a_bad_part_is_taken_up_in_every_way() {
    common::a_bad_part_is_taken_up(&Place::example("05-barrier"));
}

/// The hands-on, word for word.
#[test]
fn hands_on() {
    let place = Place::example("01-copier");
    let made = place.run(&["streams", "create", "photos-topic", "--partitions", "10", "--replication-factor", "3"]);
    made.exits(0).says("replication factor 3 (one copy is kept)");
    place.feed(&["produce", "photos-topic"], place.read("photos.txt").as_bytes()).exits(0).says("Produced 5 items");
    let read =
        place.run(&["consume", "photos-topic", "--from-beginning"]).exits(0).says("Processed a total of 5 messages");
    assert_eq!(read.out, place.read("photos.txt"), "one call comes out in its order");
    for _ in 0..2 {
        place.run(&["run"]).exits(0).says("balanced ✓");
        let copied = place.run(&["consume", "photos-topic-2", "--from-beginning"]).exits(0);
        assert_eq!(copied.out, place.read("expected/photos-topic-2"), "copied once");
    }
    let group = place.run(&["groups", "describe", "group1"]).exits(0);
    let mut rows = group.out.lines();
    let head = "GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG";
    assert_eq!(rows.next().map(|h| h.split_whitespace().collect::<Vec<_>>().join(" ")).as_deref(), Some(head));
    let lags: Vec<&str> = rows.filter_map(|r| r.split_whitespace().last()).collect();
    assert_eq!(lags, ["0"; 10]);

    place.write("reduce.yaml", Place::example("02-reduce").read("flow.yaml"));
    place.run(&["run", "reduce.yaml"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out/pairs.jsonl"), Place::example("02-reduce").read("expected/pairs.jsonl"));
    place.feed(&["produce", "photos-topic"], b"photo-6.jpg\n").exits(0);
    place.run(&["run", "reduce.yaml"]).exits(0).says("1 waiting");
    place.run(&["run"]).exits(0);
    place.run(&["run", "reduce.yaml"]).exits(0);
    assert_eq!(place.read("out/pairs.jsonl").lines().count(), 6, "the partner came");
    place.feed(&["produce", "photos-topic-2"], b"x\n").exits(2).says("is written by the flow copier");
}

#[test]
fn a_pair_keeps_its_sides_apart() {
    let flow = "
flow: sides
streams: { a: {}, b: {}, out: { sink: out/out.jsonl } }
steps: { out: { reduce: [b, a], pair: lockstep, value: { left: a, right: b } } }
";
    let place = Place::with(flow, &[]);
    for stream in ["a", "b"] {
        place.run(&["streams", "create", stream]).exits(0);
        place.feed(&["produce", stream], format!("\"of {stream}\"\n").as_bytes()).exits(0);
    }
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out/out.jsonl"), "{\"left\":\"of b\",\"right\":\"of a\"}\n");
}
