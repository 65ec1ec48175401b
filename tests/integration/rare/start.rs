//! Where partitions begin: `kafka_auto_offset_reset = latest`, and second chains.

use super::await_word;
use crate::archive::produce_odd;
use crate::harness::{Site, await_that};
use crate::servers::{Action, Seen};

#[test]
fn latest_leaves_out_only_what_was_there_at_the_first_start() {
    let mut site = Site::new("latest");
    site.set("consumer", "kafka_auto_offset_reset", "latest");
    site.set("consumer", "topic_whitelist", "^latest-.*");
    let (old, new) = ("latest-old", "latest-new");
    site.admin.create(old, 2, &[]);
    produce_odd(&site, old, 2, 100);
    let run = site.start();
    for partition in 0..2 {
        await_word(&run, &format!("assigned {old}-{partition}: tip 100, reading from 100"));
    }
    let mut expected = produce_odd(&site, old, 2, 50);
    site.know(old, 3);

    // What comes later begins at 0, whatever it holds when it is found.
    site.admin.create(new, 1, &[]);
    site.know(new, 1);
    expected.merge(produce_odd(&site, new, 1, 60));
    site.admin.grow(old, 3);
    expected.merge(produce_odd(&site, old, 3, 70));
    await_that("files of all", || {
        !site.objects(old, 0).is_empty()
            && !site.objects(old, 2).is_empty()
            && !site.objects(new, 0).is_empty()
    });
    run.stop().expect(0);

    // A restart changes nothing, nor a topic that came while nobody was there.
    let meanwhile = "latest-meanwhile";
    site.admin.create(meanwhile, 1, &[]);
    site.know(meanwhile, 1);
    expected.merge(produce_odd(&site, meanwhile, 1, 80));
    expected.merge(produce_odd(&site, old, 3, 30));
    site.run_to_end().expect(0);
    let sum = site.check_with_offsets(&expected);
    assert!(sum.contains("latest-old-0: 150 records, tip 250"), "{sum}");
    assert!(sum.contains("latest-old-2: 100 records, tip 100"), "{sum}");
    assert!(sum.contains("latest-meanwhile-0: 80 records, tip 80"), "{sum}");
}

#[test]
fn a_gap_stops_the_partition_if_it_is_to() {
    let mut site = Site::new("gap-stop");
    site.set("consumer", "on_gap", "stop");
    let topic = site.topic("t", 2, &[]);
    let mut expected = produce_odd(&site, &topic, 2, 100);
    site.run_to_end().expect(0);
    expected.merge(produce_odd(&site, &topic, 2, 100));
    site.admin.delete_records(&topic, 1, 150);

    let log = site.run_to_end().expect(75).log;
    assert!(log.contains("gap [100, 150)") && log.contains("on_gap = record"), "{log}");
    assert!(log.contains(&format!("not archived: {topic}-1")), "{log}");
    assert_eq!(site.objects(&topic, 1).len(), 1);

    site.set("consumer", "on_gap", "record");
    expected.merge(produce_odd(&site, &topic, 2, 10));
    site.run_to_end().expect(0);
    let sum = site.check_with_offsets(&expected);
    assert!(sum.contains("gap-stop-t-0: 210 records, tip 210, gaps []"), "{sum}");
    assert!(sum.contains("tip 210, gaps [(100, 150, 'retention')]"), "{sum}");
}

#[test]
fn a_topic_created_again_gets_a_second_chain_while_it_is_read() {
    let mut site = Site::new("new-chain");
    site.set("consumer", "on_topic_recreated", "new_chain");
    let topic = site.topic("t", 1, &[]);
    let first = produce_odd(&site, &topic, 1, 100);
    let run = site.start();
    await_that("a file of the first", || !site.objects(&topic, 0).is_empty());

    site.admin.delete(&topic);
    site.admin.create(&topic, 1, &[]);
    let mut second = produce_odd(&site, &topic, 1, 200);
    let second_name = format!("{topic}@2");
    await_that("a file of the second", || !site.objects(&second_name, 0).is_empty());
    run.stop().expect(0);

    second.merge(produce_odd(&site, &topic, 1, 50));
    site.run_to_end().expect(0);
    second.rename(&topic, &second_name);
    second.merge(first);
    let sum = site.check(&second);
    assert!(sum.contains(&format!("{topic}-0: 100 records, tip 100")), "{sum}");
    assert!(sum.contains(&format!("{second_name}-0: 250 records, tip 250")), "{sum}");
    let committed = site.admin.committed(site.group(), &[(topic.clone(), 1)]);
    assert_eq!(committed[&topic][&0], 250);
}

#[test]
fn files_of_a_topic_s_earlier_life_go_to_its_chain_before_the_next_begins() {
    let mut site = Site::new("earlier-life");
    site.set("consumer", "on_topic_recreated", "new_chain");
    site.set("consumer", "max_age_seconds", 1);
    let topic = site.topic("t", 1, &[]);
    let mut first = produce_odd(&site, &topic, 1, 100);
    let run = site.start();
    await_that("a file of the first", || !site.objects(&topic, 0).is_empty());
    site.store.rule(|seen| if seen.is_upload() { Action::Refuse(503) } else { Action::Pass });
    first.merge(produce_odd(&site, &topic, 1, 100));
    await_that("a file that waits", || !run.spool_files("compressed").is_empty());

    // Shorter than the first: its position lies behind the new log's end.
    site.admin.delete(&topic);
    site.admin.create(&topic, 1, &[]);
    let mut second = produce_odd(&site, &topic, 1, 50);
    let second_name = format!("{topic}@2");
    let uploads = || site.store.seen(Seen::is_upload).len();
    let before = uploads();
    await_that("uploads in vain", || uploads() > before + 1);
    site.store.pass();
    await_that("a file of the second", || !site.objects(&second_name, 0).is_empty());
    run.stop().expect(0);

    second.rename(&topic, &second_name);
    second.merge(first);
    let sum = site.check(&second);
    assert!(sum.contains(&format!("{topic}-0: 200 records, tip 200")), "{sum}");
    assert!(sum.contains(&format!("{second_name}-0: 50 records, tip 50")), "{sum}");
}

#[test]
fn a_stop_does_not_wait_for_partitions_that_have_nothing_here() {
    let mut site = Site::new("finding-stop");
    let topic = site.topic("t", 2, &[]);
    let path = format!("/{topic}/");
    let meant = path.clone();
    site.store.rule(
        move |seen| {
            if seen.path.contains(&meant) { Action::Refuse(503) } else { Action::Pass }
        },
    );
    let run = site.start();
    await_that("questions in vain", || site.store.seen(|seen| seen.path.contains(&path)).len() > 1);
    // It would wait for shutdown_timeout, and then say that it is not done.
    run.stop().expect(0);
}
