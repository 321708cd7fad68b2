//! Which nodes have which partition, as a flag names them.

/// The nodes that shall have each partition, its preferred leader first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaAssignment(pub Vec<Vec<i32>>);

impl ReplicaAssignment {
    /// Reads the nodes of each partition, such as `1:2:3,2:3:1`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let partitions = text.split(',').map(replicas).collect::<Result<Vec<_>, _>>()?;
        let factor = partitions.first().map_or(0, Vec::len);
        match partitions.iter().enumerate().find(|(_, replicas)| replicas.len() != factor) {
            None => Ok(Self(partitions)),
            Some((number, replicas)) => Err(format!(
                "partition {number} has {} replicas and partition 0 has {factor}; give each as many",
                replicas.len()
            )),
        }
    }

    /// Those of the partitions that a topic shall have in all but does not have yet.
    pub(super) fn beyond(&self, had: usize, total: i32) -> Result<Vec<Vec<i32>>, String> {
        if usize::try_from(total) != Ok(self.0.len()) {
            return Err(format!(
                "--replica-assignment names the nodes of {} partitions, but there shall be {total}; name those of each, also of the {had} that there are, which stay where they are",
                self.0.len()
            ));
        }
        Ok(self.0.iter().skip(had).cloned().collect())
    }
}

fn replicas(text: &str) -> Result<Vec<i32>, String> {
    let mut nodes = Vec::new();
    for part in text.split(':') {
        let node = part.trim().parse::<i32>().ok().filter(|node| *node >= 0);
        let node =
            node.ok_or_else(|| format!("'{part}' is no node's id; write the nodes of each partition as 1:2:3,2:3:1"))?;
        if nodes.contains(&node) {
            return Err(format!("'{text}' names node {node} twice; a node has one replica of a partition"));
        }
        nodes.push(node);
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_parted_by_commas_and_nodes_by_colons() {
        let parse = |text| ReplicaAssignment::parse(text).map(|replicas| replicas.0);
        assert_eq!(parse("1:2:3,2:3:1"), Ok(vec![vec![1, 2, 3], vec![2, 3, 1]]));
        assert_eq!(parse("7"), Ok(vec![vec![7]]));
        assert_eq!(parse("1,2, 3"), Ok(vec![vec![1], vec![2], vec![3]]));
        for (wrong, word) in [
            ("", "no node's id"),
            ("1:2,", "no node's id"),
            ("1:a", "'a'"),
            ("-1:2", "'-1'"),
            ("1:2:1", "node 1 twice"),
            ("1:2,3", "partition 1 has 1 replicas"),
        ] {
            let error = parse(wrong).expect_err(wrong);
            assert!(error.contains(word), "{wrong}: {error}");
        }
    }

    #[test]
    fn partitions_that_there_are_stay() {
        let replicas = ReplicaAssignment(vec![vec![1], vec![2], vec![3]]);
        assert_eq!(replicas.beyond(1, 3), Ok(vec![vec![2], vec![3]]));
        assert_eq!(replicas.beyond(4, 3), Ok(Vec::new()));
        assert!(replicas.beyond(1, 4).is_err_and(|error| error.contains("the nodes of 3 partitions")));
    }
}
