//! A report as a page.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::Place;

/// The page of a run, which asks for nothing from outside.
fn page(place: &Place, args: &[&str]) -> String {
    place.run(&[&["report", "--html", "page.html"], args].concat()).exits(0).says("written: page.html");
    let page = place.read("page.html");
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""), "{page}");
    for asks in ["src=", "href=", "url(", "@import", "<script", "<link"] {
        assert!(!page.replace("url(#to)", "").contains(asks), "{asks}: {page}"); // that is in the picture itself
    }
    let addresses: Vec<&str> = page.split("http").skip(1).filter(|rest| !rest.starts_with("-equiv")).collect();
    assert!(addresses.iter().all(|rest| rest.starts_with("://www.w3.org/2000/svg\"")), "{addresses:?}");
    page
}

#[test]
fn a_page_has_the_flow_its_times_and_what_failed() {
    let place = Place::example("05-barrier");
    place.run(&["run", "--env", "PARTS=bad"]).exits(4);
    let page = page(&place, &["--env", "PARTS=bad"]);
    for text in [
        "<title>barrier · run 1</title>",
        "HELD",
        "balanced ✓",
        "<svg ",
        "4 taken, 1 dead",
        "◆ 1 of 4 failed",
        "held: 1 of 4 failed, tolerate is 0",
        "Time line",
        "Calls of made",
        "<strong>1-0001</strong>",
        "attempt 2",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[test]
fn what_items_say_is_text_and_a_flow_that_changed_is_not_drawn() {
    let flow = "
flow: page
streams: { in: { source: in.txt }, out: { sink: out.txt } }
steps:
  out: { work: in, exec: [sh, -c, 'echo \"<b>$0</b>\" >&2; exit 1', '{item}'], retry: { attempts: 1 }, to: out }
";
    let place = Place::with(flow, &[("in.txt", "<script>alert(1)</script>\n")]);
    place.run(&["run"]).exits(3);
    let whole = page(&place, &["--run", "1"]);
    assert!(
        whole.contains("&lt;script&gt;alert(1)") && whole.contains("&lt;b&gt;") && !whole.contains("<b>"),
        "{whole}"
    );
    place.write("flow.yaml", flow.replace("exit 1", "exit 2"));
    assert!(!page(&place, &[]).contains("<svg "), "it would be the picture of another flow");
    place.run(&["report", "--html", "no/such/folder.html"]).exits(1).says("cannot write no/such/folder.html");
    let drawn = place.run(&["graph", "--format", "svg"]).exits(0).out;
    assert!(drawn.starts_with("<svg ") && drawn.contains("in.txt"), "{drawn}");
}
