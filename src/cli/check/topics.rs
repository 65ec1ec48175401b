//! What the lists of topics mean on a cluster. Pure.

use super::report::{Area, Line, counted};
use crate::cli::Exit;
use crate::config::{Pattern, TopicPatterns};
use crate::kafka::{PatternError, Patterns};
use crate::types::TopicName;
use crate::worker::settings;

/// How similar a name has to be to be what was meant; 1 is the same.
const LIKE: f64 = 0.8;

/// One line for each pattern. `all` are the topics that this user may see, `hidden` those of which
/// it was told that it may not.
pub(super) fn lines(
    lists: &TopicPatterns,
    all: &[(TopicName, i32)],
    hidden: &[TopicName],
) -> Vec<Line> {
    let white = lists.whitelist.iter().map(|pattern| match pattern {
        Pattern::Exact(topic) if hidden.contains(topic) => {
            let why = "this user may not even see it: see the right to read";
            Line::skip(Area::Topic, topic.as_str(), why)
        }
        _ => white(pattern, &lists.blacklist, all).unwrap_or_else(|error| wrong(pattern, &error)),
    });
    let black = lists
        .blacklist
        .iter()
        .map(|pattern| black(pattern, all).unwrap_or_else(|error| wrong(pattern, &error)));
    white.chain(black).collect()
}

fn matching<'a>(
    pattern: &Pattern,
    blacklist: &[Pattern],
    all: &'a [(TopicName, i32)],
) -> Result<Vec<&'a (TopicName, i32)>, PatternError> {
    let black: Vec<_> = blacklist.iter().map(settings::pattern).collect();
    let patterns = Patterns::compile(&[settings::pattern(pattern)], &black)?;
    Ok(all.iter().filter(|(topic, _)| patterns.matches(topic)).collect())
}

fn white(
    pattern: &Pattern,
    blacklist: &[Pattern],
    all: &[(TopicName, i32)],
) -> Result<Line, PatternError> {
    let subject = pattern.to_string();
    let found = matching(pattern, blacklist, all)?;
    if !found.is_empty() {
        let partitions: i64 = found.iter().map(|(_, partitions)| i64::from(*partitions)).sum();
        let found = match pattern {
            Pattern::Exact(_) => counted(partitions, "partition"),
            Pattern::Regex(_) => {
                let topics = counted(found.len(), "topic");
                format!("{topics}, {}", counted(partitions, "partition"))
            }
        };
        return Ok(Line::ok(Area::Topic, &subject, &found));
    }
    if !matching(pattern, &[], all)?.is_empty() {
        let todo = "remove it from [consumer] topic_whitelist or topic_blacklist";
        return Ok(Line::warn(Area::Topic, &subject, "topic_blacklist takes all of it out", todo));
    }
    let near = match pattern {
        Pattern::Exact(topic) => nearest(topic, all),
        Pattern::Regex(_) => None,
    };
    let (found, todo) = match near {
        Some(near) => (
            format!("no such topic; there is \"{near}\""),
            "correct [consumer] topic_whitelist, or create the topic: it is archived as soon as it is there",
        ),
        None => (
            match pattern {
                Pattern::Exact(_) => "no such topic that this user may see".to_owned(),
                Pattern::Regex(_) => "matches no topic that this user may see".to_owned(),
            },
            "correct [consumer] topic_whitelist, or create the topic (it is archived as soon as it is there), or \
             grant Read on it",
        ),
    };
    Ok(Line::warn(Area::Topic, &subject, &found, todo))
}

fn black(pattern: &Pattern, all: &[(TopicName, i32)]) -> Result<Line, PatternError> {
    let found = format!("takes {} out", counted(matching(pattern, &[], all)?.len(), "topic"));
    Ok(Line::ok(Area::Topic, &format!("not {pattern}"), &found))
}

fn wrong(pattern: &Pattern, error: &PatternError) -> Line {
    let todo = "correct [consumer] topic_whitelist or topic_blacklist";
    Line::fail(Area::Topic, &pattern.to_string(), &error.to_string(), todo, Exit::Config)
}

fn nearest<'a>(topic: &TopicName, all: &'a [(TopicName, i32)]) -> Option<&'a TopicName> {
    let likeness = |name: &TopicName| {
        let [name, topic] = [name, topic].map(|name| name.as_str().to_ascii_lowercase());
        strsim::jaro_winkler(&name, &topic)
    };
    let scored = all.iter().map(|(name, _)| (name, likeness(name)));
    let like = scored.filter(|(_, score)| *score > LIKE);
    like.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::report::Verdict;

    fn name(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    fn exact(topic: &str) -> Pattern {
        Pattern::Exact(name(topic))
    }

    fn told(white: Vec<Pattern>, black: Vec<Pattern>) -> Vec<(Verdict, String)> {
        let all = [("orders", 3), ("pay.a", 2), ("pay.b", 4), ("__x", 9)];
        let all = all.map(|(topic, partitions)| (name(topic), partitions));
        let lists = TopicPatterns { whitelist: white, blacklist: black };
        lines(&lists, &all, &[name("hidden")])
            .into_iter()
            .map(|line| (line.verdict, line.found))
            .collect()
    }

    #[test]
    fn patterns_say_what_they_match() {
        let regex = |text: &str| Pattern::Regex(text.to_owned());
        let told = told(
            vec![
                exact("orders"),
                regex("^pay"),
                exact("Ordres"),
                exact("zzz"),
                regex("^q"),
                regex("^("),
                exact("pay.a"),
                exact("hidden"),
            ],
            vec![exact("pay.a")],
        );
        let expected = [
            (Verdict::Ok, "3 partitions"),
            (Verdict::Ok, "1 topic, 4 partitions"),
            (Verdict::Warn, "no such topic; there is \"orders\""),
            (Verdict::Warn, "no such topic that this user may see"),
            (Verdict::Warn, "matches no topic that this user may see"),
        ];
        for ((verdict, found), (wanted, text)) in told.iter().zip(expected) {
            assert_eq!((*verdict, found.as_str()), (wanted, text));
        }
        assert_eq!(told[5].0, Verdict::Fail);
        assert_eq!(told[6], (Verdict::Warn, "topic_blacklist takes all of it out".to_owned()));
        assert_eq!(told[7].0, Verdict::Skip);
        assert_eq!(told[8], (Verdict::Ok, "takes 1 topic out".to_owned()));
    }
}
