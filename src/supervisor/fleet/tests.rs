//! Tests of the fleet: its rules one by one, and random histories against a model of the system.

use proptest::prelude::*;

use super::*;
use crate::sys::child::Ending;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

fn code(code: u8) -> WorkerExit {
    WorkerExit::Ended(Ending::Code(code))
}

const KILLED: WorkerExit = WorkerExit::Ended(Ending::Signal(9));

/// What is wanted of the last roles, in their order.
fn plan<const N: usize>(counts: [usize; N], versions: [u64; N]) -> Plan {
    revised(counts, versions, [0; N])
}

fn revised<const N: usize>(counts: [usize; N], versions: [u64; N], revisions: [u64; N]) -> Plan {
    let wanted =
        |n: usize| Wanted { count: counts[n], version: versions[n], revision: revisions[n] };
    let roles = Role::ALL.into_iter().skip(Role::ALL.len() - N).zip((0..N).map(wanted)).collect();
    Plan { roles, shutdown_timeout: 60 * S }
}

fn fleet<const N: usize>(counts: [usize; N]) -> Fleet {
    Fleet::new(plan(counts, [0; N]), Policy::default(), false)
}

fn started<const N: usize>(counts: [usize; N]) -> Fleet {
    let mut fleet = fleet(counts);
    fleet.handle(Event::Tick, Duration::ZERO);
    fleet
}

fn until_end<const N: usize>(counts: [usize; N]) -> Fleet {
    let mut fleet = Fleet::new(plan(counts, [0; N]), Policy::default(), true);
    fleet.handle(Event::Tick, Duration::ZERO);
    fleet
}

/// The actions without notes.
fn deeds(actions: Vec<Action>) -> Vec<Action> {
    actions.into_iter().filter(|action| !matches!(action, Action::Note(_))).collect()
}

const T0: SlotId = SlotId { role: Role::Takeover, index: 0 };
const C0: SlotId = SlotId { role: Role::Consumer, index: 0 };
const C1: SlotId = SlotId { role: Role::Consumer, index: 1 };
const P0: SlotId = SlotId { role: Role::Compressor, index: 0 };
const U0: SlotId = SlotId { role: Role::Uploader, index: 0 };

#[test]
fn everybody_is_forked_and_ready_when_up() {
    let mut fleet = fleet([2, 1, 1]);
    let forks = fleet.handle(Event::Tick, Duration::ZERO);
    assert_eq!(forks, [C0, C1, P0, U0].map(Action::Fork));
    for id in [C0, C1, P0] {
        assert_eq!(fleet.handle(Event::Up(id), S), []);
    }
    assert_eq!(fleet.handle(Event::Up(U0), S), [Action::Ready]);
    assert_eq!(fleet.handle(Event::Up(U0), 20 * S), []);
}

#[test]
fn silence_counts_as_up_after_a_while() {
    let mut fleet = started([1, 0, 0]);
    assert_eq!(fleet.next_wakeup(S), Some(45 * S));
    assert_eq!(fleet.handle(Event::Tick, 45 * S), [Action::Ready]);
    assert_eq!(fleet.next_wakeup(45 * S), None);
}

#[test]
fn a_crash_is_followed_by_a_fork_after_a_wait_that_grows() {
    let mut fleet = started([1, 0, 0]);
    let mut now = Duration::ZERO;
    for wait in [100 * MS, 200 * MS, 400 * MS] {
        let note = Note::Restarting { slot: C0, exit: KILLED, wait };
        assert_eq!(fleet.handle(Event::Exited(C0, KILLED), now), [Action::Note(note)]);
        assert_eq!(fleet.next_wakeup(now), Some(now + wait));
        assert_eq!(fleet.handle(Event::Tick, (now + wait).saturating_sub(MS)), []);
        now += wait;
        assert_eq!(fleet.handle(Event::Tick, now), [Action::Fork(C0)]);
    }
}

#[test]
fn useful_work_or_a_long_life_resets_the_wait() {
    let first = |id| Action::Note(Note::Restarting { slot: id, exit: KILLED, wait: 100 * MS });
    let mut fleet = started([1, 1, 0]);
    for id in [C0, P0] {
        fleet.handle(Event::Exited(id, KILLED), Duration::ZERO);
        fleet.handle(Event::Tick, S);
    }
    fleet.handle(Event::Useful(C0), S);
    assert!(fleet.handle(Event::Exited(C0, KILLED), 2 * S).contains(&first(C0)));
    assert!(fleet.handle(Event::Exited(P0, KILLED), 62 * S).contains(&first(P0)));
}

/// Lets a worker die and waits for its restart, until no restart follows.
fn die_again_and_again(fleet: &mut Fleet, id: SlotId, exit: WorkerExit) -> (u32, Duration) {
    let mut now = Duration::ZERO;
    for deaths in 1.. {
        fleet.handle(Event::Exited(id, exit), now);
        if fleet.is_stopping() {
            return (deaths, now);
        }
        now = fleet.next_wakeup(now).unwrap();
        while !fleet.handle(Event::Tick, now).contains(&Action::Fork(id)) {
            now = fleet.next_wakeup(now).unwrap();
        }
    }
    unreachable!("the count goes on")
}

#[test]
fn a_crash_loop_ends_everything_with_a_last_word() {
    let mut fleet = started([1, 1, 1]);
    let (deaths, now) = die_again_and_again(&mut fleet, U0, code(3));
    assert_eq!((deaths, now), (10, 51_100 * MS));
    fleet.handle(Event::Exited(C0, code(0)), now);
    fleet.handle(Event::Exited(P0, code(0)), now);
    let outcome = fleet.outcome().unwrap();
    assert_eq!(outcome.code, 70);
    let word = outcome.last_word.unwrap().to_string();
    assert!(word.contains("uploader0 died 10 times in a row"), "{word}");
    assert!(word.contains("exited with code 3"), "{word}");
}

#[test]
fn a_loop_of_unavailability_keeps_its_code() {
    let mut fleet = started([1, 0, 0]);
    fleet.handle(Event::Up(C0), Duration::ZERO);
    die_again_and_again(&mut fleet, C0, code(69));
    assert_eq!(fleet.outcome().unwrap().code, 69);
}

#[test]
fn unavailable_before_anything_came_up_ends_everything_at_once() {
    let mut fleet = started([1, 0, 0]);
    fleet.handle(Event::Exited(C0, code(69)), S);
    assert_eq!(fleet.outcome().unwrap().code, 69);

    let mut fleet = started([2, 0, 0]);
    fleet.handle(Event::Up(C1), S);
    fleet.handle(Event::Exited(C0, code(69)), 2 * S);
    assert!(!fleet.is_stopping());
}

#[test]
fn a_refusal_of_what_was_permitted_may_pass() {
    let mut fleet = started([1, 1, 1]);
    fleet.handle(Event::Up(U0), S);
    let mut now = S;
    for _ in 0..30 {
        fleet.handle(Event::Exited(U0, code(77)), now);
        assert!(!fleet.is_stopping());
        now += 30 * S;
        assert_eq!(fleet.handle(Event::Tick, now), [Action::Fork(U0)]);
    }
    let mut fleet = started([1, 0, 1]);
    fleet.handle(Event::Up(U0), S);
    fleet.handle(Event::Exited(C0, code(77)), S);
    assert!(fleet.is_stopping(), "no consumer ever came up");
}

#[test]
fn fatal_codes_drain_and_are_passed_on() {
    for fatal in [73, 77, 78] {
        let mut fleet = started([2, 1, 1]);
        let deeds = deeds(fleet.handle(Event::Exited(C0, code(fatal)), S));
        assert_eq!(deeds, [Action::Tell(C1, Order::Drain)]);
        let told = fleet.handle(Event::Exited(C1, code(0)), S);
        assert!(told.contains(&Action::Tell(P0, Order::Drain)));
        fleet.handle(Event::Exited(P0, code(0)), S);
        fleet.handle(Event::Exited(U0, code(75)), S);
        assert_eq!(fleet.outcome().unwrap().code, fatal);
    }
}

#[test]
fn consumers_do_not_wait_for_an_uploader_that_never_comes_back() {
    let mut fleet = started([1, 1, 1]);
    let deeds = deeds(fleet.handle(Event::Exited(U0, code(77)), S));
    assert_eq!(deeds, [Action::Tell(C0, Order::Drain), Action::Tell(C0, Order::AtOnce)]);
    assert_eq!(fleet.next_wakeup(2 * S), Some(11 * S));
}

#[test]
fn consumers_drain_first_and_the_others_work_on_meanwhile() {
    let mut fleet = started([2, 1, 1]);
    let told = fleet.handle(Event::Stop, S);
    assert_eq!(told, [C0, C1].map(|id| Action::Tell(id, Order::Drain)));
    fleet.handle(Event::Exited(U0, KILLED), 2 * S);
    assert_eq!(fleet.handle(Event::Tick, 3 * S), [Action::Fork(U0)]);
    assert_eq!(deeds(fleet.handle(Event::Exited(C1, code(0)), 4 * S)), []);
    let told = deeds(fleet.handle(Event::Exited(C0, code(0)), 5 * S));
    assert_eq!(told, [P0, U0].map(|id| Action::Tell(id, Order::Drain)));
    fleet.handle(Event::Exited(P0, code(0)), 6 * S);
    assert_eq!(fleet.outcome(), None);
    fleet.handle(Event::Exited(U0, code(0)), 6 * S);
    assert_eq!(fleet.outcome(), Some(Outcome { code: 0, last_word: None }));
}

#[test]
fn who_takes_too_long_is_killed_and_the_code_says_so() {
    let mut fleet = started([1, 1, 0]);
    fleet.handle(Event::Stop, Duration::ZERO);
    assert_eq!(deeds(fleet.handle(Event::Tick, 69 * S)), []);
    assert_eq!(deeds(fleet.handle(Event::Tick, 70 * S)), [Action::Kill(C0)]);
    assert_eq!(deeds(fleet.handle(Event::Tick, 71 * S)), []);
    let told = deeds(fleet.handle(Event::Exited(C0, KILLED), 71 * S));
    assert_eq!(told, [Action::Tell(P0, Order::Drain)]);
    assert_eq!(deeds(fleet.handle(Event::Tick, 81 * S)), [Action::Kill(P0)]);
    fleet.handle(Event::Exited(P0, KILLED), 81 * S);
    assert_eq!(fleet.outcome().unwrap().code, 75);
}

#[test]
fn a_second_stop_kills() {
    let mut fleet = started([1, 1, 1]);
    fleet.handle(Event::Stop, S);
    assert_eq!(fleet.handle(Event::Stop, S), [C0, P0, U0].map(Action::Kill));
    assert_eq!(fleet.handle(Event::Stop, S), []);
    for id in [C0, P0, U0] {
        fleet.handle(Event::Exited(id, KILLED), S);
    }
    assert_eq!(fleet.outcome().unwrap().code, 75);
}

#[test]
fn leaving_unasked_is_a_crash() {
    let mut fleet = started([1, 0, 0]);
    fleet.handle(Event::Exited(C0, code(0)), S);
    assert_eq!(fleet.handle(Event::Tick, 2 * S), [Action::Fork(C0)]);
}

#[test]
fn rotation_is_told_to_consumers() {
    let mut fleet = started([2, 1, 1]);
    let told = fleet.handle(Event::Rotate, S);
    assert_eq!(told, [C0, C1].map(|id| Action::Tell(id, Order::Rotate)));
}

#[test]
fn a_reload_replaces_changed_roles_one_after_the_other() {
    let mut fleet = started([2, 1, 1]);
    let told = deeds(fleet.handle(Event::Reload(plan([2, 1, 1], [1, 0, 1])), S));
    assert_eq!(told, [C0, C1].map(|id| Action::Tell(id, Order::Drain)));
    assert_eq!(deeds(fleet.handle(Event::Exited(C0, code(0)), 2 * S)), []);
    let next = deeds(fleet.handle(Event::Exited(C1, code(0)), 3 * S));
    let forks = [C0, C1].map(Action::Fork);
    assert_eq!(next, [&forks[..], &[Action::Tell(U0, Order::Drain)]].concat());
    assert_eq!(deeds(fleet.handle(Event::Exited(U0, code(0)), 4 * S)), [Action::Fork(U0)]);
    assert!(fleet.status().starts_with("running; 2 consumers, 1 compressor, 1 uploader"));
}

#[test]
fn a_reload_changes_counts() {
    let mut fleet = started([1, 0, 1]);
    let deeds = deeds(fleet.handle(Event::Reload(plan([2, 1, 0], [0; 3])), S));
    assert_eq!(deeds, [Action::Fork(C1), Action::Fork(P0), Action::Tell(U0, Order::Drain)]);
    fleet.handle(Event::Exited(U0, code(0)), S);
    assert_eq!(fleet.handle(Event::Tick, 2 * S), []);
}

#[test]
fn who_can_take_up_new_settings_is_told_once() {
    let mut fleet = started([2, 1, 1]);
    let told = deeds(fleet.handle(Event::Reload(revised([2, 1, 1], [0; 3], [1, 0, 1])), S));
    assert_eq!(told, [C0, C1, U0].map(|id| Action::Tell(id, Order::Reload)));
    assert_eq!(fleet.handle(Event::Tick, 2 * S), []);
    assert!(fleet.status().starts_with("running; "));
    // Who comes later has them from the start.
    fleet.handle(Event::Exited(C0, KILLED), 2 * S);
    assert_eq!(fleet.handle(Event::Tick, 3 * S), [Action::Fork(C0)]);
    assert_eq!(fleet.handle(Event::Tick, 4 * S), []);
}

#[test]
fn who_goes_is_told_nothing_new() {
    // One that is too many, and one that is replaced.
    let mut fleet = started([2, 1, 1]);
    let told = deeds(fleet.handle(Event::Reload(revised([1, 1, 1], [0, 1, 0], [1, 1, 0])), S));
    let expected = [(C0, Order::Reload), (C1, Order::Drain), (P0, Order::Drain)]
        .map(|(id, order)| Action::Tell(id, order));
    assert_eq!(told, expected);
    let forked = deeds(fleet.handle(Event::Exited(P0, code(0)), 2 * S));
    assert_eq!(forked, [Action::Fork(P0)]);
    // Wanted again while it drains: it makes room for one that has all from the start.
    let told = deeds(fleet.handle(Event::Reload(revised([2, 1, 1], [0, 1, 0], [2, 1, 0])), 3 * S));
    assert_eq!(told, [Action::Tell(C0, Order::Reload)]);
    assert_eq!(deeds(fleet.handle(Event::Exited(C1, code(0)), 4 * S)), [Action::Fork(C1)]);
    assert_eq!(deeds(fleet.handle(Event::Tick, 5 * S)), []);
}

#[test]
fn who_waits_for_being_replaced_is_told_nothing_new() {
    let mut fleet = started([1, 0, 1]);
    fleet.handle(Event::Reload(plan([1, 0, 1], [1, 0, 1])), S);
    let told = deeds(fleet.handle(Event::Reload(revised([1, 0, 1], [1, 0, 1], [1, 0, 1])), 2 * S));
    assert_eq!(told, []);
    let next = deeds(fleet.handle(Event::Exited(C0, code(0)), 3 * S));
    assert_eq!(next, [Action::Fork(C0), Action::Tell(U0, Order::Drain)]);
}

#[test]
fn new_settings_are_tried_without_waiting() {
    let mut fleet = started([1, 0, 0]);
    fleet.handle(Event::Exited(C0, KILLED), S);
    let reload = Event::Reload(plan([1, 0, 0], [1, 0, 0]));
    assert_eq!(deeds(fleet.handle(reload, S)), [Action::Fork(C0)]);
    fleet.handle(Event::Exited(C0, KILLED), S);
    let reload = Event::Reload(revised([1, 0, 0], [1, 0, 0], [1, 0, 0]));
    assert_eq!(deeds(fleet.handle(reload, S)), [Action::Fork(C0)]);
}

#[test]
fn at_the_end_the_rest_drains_when_all_consumers_are_done() {
    let mut fleet = until_end([2, 1, 1]);
    fleet.handle(Event::Exited(C0, code(75)), S);
    assert!(!fleet.is_stopping());
    fleet.handle(Event::Exited(P0, code(0)), S);
    assert_eq!(fleet.handle(Event::Tick, 2 * S), [Action::Fork(P0)]);
    let told = deeds(fleet.handle(Event::Exited(C1, code(0)), 3 * S));
    assert_eq!(told, [P0, U0].map(|id| Action::Tell(id, Order::Drain)));
    fleet.handle(Event::Exited(P0, code(0)), 3 * S);
    fleet.handle(Event::Exited(U0, code(0)), 3 * S);
    assert_eq!(fleet.outcome().unwrap().code, 75);
}

#[test]
fn without_consumers_the_end_is_when_all_are_done() {
    let mut fleet = until_end([0, 1, 1]);
    assert!(fleet.leaves_by_itself(Role::Uploader));
    fleet.handle(Event::Exited(P0, code(0)), S);
    assert_eq!(fleet.outcome(), None);
    fleet.handle(Event::Exited(U0, code(0)), 2 * S);
    assert_eq!(fleet.outcome().unwrap().code, 0);
    assert_eq!(until_end([0, 0, 0]).outcome().unwrap().code, 0);
}

#[test]
fn nobody_starts_before_the_takeover_has_come_up() {
    let mut fleet = fleet([1, 1, 0, 1]);
    assert_eq!(fleet.handle(Event::Tick, Duration::ZERO), [Action::Fork(T0)]);
    assert_eq!(fleet.status(), "running; 1 takeover, 0 consumers, 0 compressors, 0 uploaders");
    // However long it takes, and however often it dies.
    assert_eq!(deeds(fleet.handle(Event::Tick, 100 * S)), []);
    fleet.handle(Event::Exited(T0, KILLED), 100 * S);
    assert_eq!(fleet.handle(Event::Tick, 101 * S), [Action::Fork(T0)]);
    assert_eq!(fleet.handle(Event::Up(T0), 102 * S), [C0, U0].map(Action::Fork));
    // It goes on beside them, and is not forked again when it is done.
    assert_eq!(deeds(fleet.handle(Event::Exited(T0, code(0)), 103 * S)), []);
    assert_eq!(fleet.handle(Event::Tick, 200 * S), [Action::Ready]);
    assert_eq!(fleet.status(), "running; 1 consumer, 0 compressors, 1 uploader");
}

#[test]
fn a_takeover_that_is_done_at_once_lets_the_others_start() {
    let mut fleet = started([1, 1, 0, 0]);
    assert_eq!(deeds(fleet.handle(Event::Exited(T0, code(0)), S)), [Action::Fork(C0)]);
}

#[test]
fn what_a_takeover_could_not_do_is_partial_in_the_end() {
    let mut fleet = started([1, 1, 0, 0]);
    fleet.handle(Event::Up(T0), S);
    fleet.handle(Event::Exited(T0, code(75)), 2 * S);
    // Nobody is forked in its place.
    assert_eq!(deeds(fleet.handle(Event::Tick, 300 * S)), [Action::Ready]);
    assert_eq!(deeds(fleet.handle(Event::Stop, 301 * S)), [Action::Tell(C0, Order::Drain)]);
    fleet.handle(Event::Exited(C0, code(0)), 302 * S);
    assert_eq!(fleet.outcome().unwrap().code, 75);
}

#[test]
fn the_end_waits_for_the_takeover_and_a_stop_does_not() {
    let mut fleet = until_end([1, 1, 0, 0]);
    fleet.handle(Event::Up(T0), S);
    fleet.handle(Event::Exited(C0, code(0)), S);
    assert!(!fleet.is_stopping());
    fleet.handle(Event::Exited(T0, code(0)), 2 * S);
    assert_eq!(fleet.outcome().unwrap().code, 0);

    let mut fleet = started([1, 1, 0, 0]);
    fleet.handle(Event::Up(T0), S);
    let told = deeds(fleet.handle(Event::Stop, S));
    assert_eq!(told, [T0, C0].map(|id| Action::Tell(id, Order::Drain)));
}

#[test]
fn nobody_at_all_waits_for_signals() {
    let mut fleet = started([0, 0, 0]);
    assert_eq!(fleet.outcome(), None);
    fleet.handle(Event::Stop, S);
    assert_eq!(fleet.outcome().unwrap().code, 0);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Pass(u64),
    Exit(usize, u8),
    Kill9(usize),
    Report(usize, bool),
    Rotate,
    Reload([usize; 4], [u64; 4], [u64; 4]),
    Stop,
}

/// At most one takeover, and some of each other role.
fn counts() -> impl Strategy<Value = [usize; 4]> {
    (0_usize..2, prop::array::uniform3(0_usize..4)).prop_map(|(t, [c, p, u])| [t, c, p, u])
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any_code = prop_oneof![Just(0), Just(75), Just(69), Just(70), Just(1)];
    let versions = prop::array::uniform4(0_u64..3);
    let revisions = prop::array::uniform4(0_u64..3);
    let step = prop_oneof![
        6 => (0_u64..40_000).prop_map(Step::Pass),
        6 => (0_usize..12, any_code).prop_map(|(which, code)| Step::Exit(which, code)),
        3 => (0_usize..12).prop_map(Step::Kill9),
        3 => (0_usize..12, any::<bool>()).prop_map(|(which, useful)| Step::Report(which, useful)),
        1 => Just(Step::Rotate),
        2 => (counts(), versions, revisions).prop_map(|(c, v, r)| Step::Reload(c, v, r)),
        1 => (0_usize..12).prop_map(|which| Step::Exit(which, 77)),
        1 => Just(Step::Stop),
    ];
    prop::collection::vec(step, 0..60)
}

/// The system as the shell would see it; checks every action that it is given.
struct World {
    fleet: Fleet,
    wanted: [usize; 4],
    now: Duration,
    live: BTreeSet<SlotId>,
    stopped: bool,
}

impl World {
    fn give(&mut self, event: Event) {
        for action in self.fleet.handle(event, self.now) {
            match action {
                Action::Fork(id) => {
                    assert!(self.live.insert(id), "{id} was live");
                    let role = Role::ALL.iter().position(|role| *role == id.role).unwrap();
                    assert!(id.index < self.wanted[role], "{id} is not wanted");
                    let late = self.stopped && matches!(id.role, Role::Takeover | Role::Consumer);
                    assert!(!late, "{id} was forked after the stop");
                }
                Action::Tell(id, _) | Action::Kill(id) => assert!(self.live.contains(&id), "{id}"),
                Action::Note(_) | Action::Ready => {}
            }
        }
        self.stopped |= self.fleet.is_stopping();
        let known: BTreeSet<_> = self.fleet.live().map(|(id, _)| id).collect();
        assert_eq!(known, self.live);
    }

    fn nth(&self, which: usize) -> Option<SlotId> {
        self.live.iter().nth(which % self.live.len().max(1)).copied()
    }

    fn end(&mut self, which: usize, exit: WorkerExit) {
        if let Some(id) = self.nth(which) {
            self.live.remove(&id);
            self.give(Event::Exited(id, exit));
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Pass(millis) => {
                self.now += Duration::from_millis(millis);
                self.give(Event::Tick);
            }
            Step::Exit(which, with) => self.end(which, code(with)),
            Step::Kill9(which) => self.end(which, KILLED),
            Step::Report(which, useful) => {
                if let Some(id) = self.nth(which) {
                    self.give(if useful { Event::Useful(id) } else { Event::Up(id) });
                }
            }
            Step::Rotate => self.give(Event::Rotate),
            Step::Reload(counts, versions, revisions) => {
                self.wanted = counts;
                self.give(Event::Reload(revised(counts, versions, revisions)));
            }
            Step::Stop => self.give(Event::Stop),
        }
    }

    /// Workers that obey nothing but SIGKILL: after a stop, time alone must end it all.
    fn end_by_time_alone(&mut self) -> Outcome {
        if !self.fleet.is_stopping() && self.fleet.outcome().is_none() {
            self.give(Event::Stop);
        }
        for _ in 0..1000 {
            if let Some(outcome) = self.fleet.outcome() {
                assert!(self.live.is_empty());
                return outcome;
            }
            let killed = self.fleet.live().find(|(_, life)| life.told == Told::Killed);
            if let Some((id, _)) = killed {
                self.live.remove(&id);
                self.give(Event::Exited(id, KILLED));
            } else {
                self.now = self.fleet.next_wakeup(self.now).expect("a moment to wait for");
                self.give(Event::Tick);
            }
        }
        panic!("does not end")
    }
}

proptest! {
    #[test]
    fn any_history_ends(
        counts in counts(),
        exit_at_end: bool,
        steps in steps(),
    ) {
        let fleet = Fleet::new(plan(counts, [0; 4]), Policy::default(), exit_at_end);
        let mut world =
            World { fleet, wanted: counts, now: S, live: BTreeSet::new(), stopped: false };
        world.give(Event::Tick);
        for step in steps {
            world.take(step);
        }
        let begun = world.now;
        let outcome = world.end_by_time_alone();
        prop_assert!([0, 69, 70, 75, 77].contains(&outcome.code));
        prop_assert_eq!(outcome.code == 0, outcome.last_word.is_none());
        prop_assert!(world.now.saturating_sub(begun) <= 80 * S);
    }

    #[test]
    fn without_news_nothing_is_done_twice(steps in steps()) {
        let fleet = Fleet::new(plan([1, 2, 1, 1], [0; 4]), Policy::default(), false);
        let mut world =
            World { fleet, wanted: [1, 2, 1, 1], now: S, live: BTreeSet::new(), stopped: false };
        world.give(Event::Tick);
        for step in steps {
            world.take(step);
            prop_assert_eq!(world.fleet.handle(Event::Tick, world.now), []);
        }
    }
}
