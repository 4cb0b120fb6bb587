package mutants

// logs are mistakes with transactions, views, positions and partitions.
func logs() []Mutant {
	return []Mutant{
		{
			Name: "commit-before-produce", Races: []string{"R7", "R9"}, Wrong: "a stage commits its offsets, then produces in another transaction",
			File: "pkg/kafka/session.go",
			Edits: []Edit{{
				Old: "\trecs := make([]*kgo.Record, len(msgs))\n",
				New: "\tif ok, err := s.gts.End(ctx, kgo.TryCommit); err != nil || !ok {\n\t\treturn nil, false, err\n\t}\n\tif err := s.gts.Begin(); err != nil {\n\t\treturn nil, false, err\n\t}\n\trecs := make([]*kgo.Record, len(msgs))\n",
			}},
			Package: "./pkg/stage", Test: "^(TestChangelogIsRightThroughRandomFaults|TestCommitWhoseReplyIsLostIsNotRepeated|TestTwoMembersShareTheWorkThroughRebalances)$",
		},
		{
			Name: "plain-produce", Races: []string{"R9"}, Wrong: "a stage produces outside its transaction, just before its commit",
			File: "pkg/kafka/session.go",
			Edits: []Edit{
				{Old: "\t\ts.gts.Produce(ctx, recs[i], promise)\n", New: "\t\t_ = promise\n"},
				{
					Old: "\tfailpoint.Hit(\"produced\")\n",
					New: "\tfailpoint.Hit(\"produced\")\n\tplain, err := kgo.NewClient(kgo.SeedBrokers(s.cfg.Kafka.Brokers...))\n\tif err != nil {\n\t\treturn nil, false, err\n\t}\n\tdefer plain.Close()\n\tif err := plain.ProduceSync(context.WithoutCancel(ctx), recs...).FirstErr(); err != nil {\n\t\treturn nil, false, err\n\t}\n",
				},
			},
			Package: "./pkg/stage", Test: "^(TestZombieWritesNothing|TestChangelogIsRightThroughRandomFaults|TestCommitWhoseReplyIsLostIsNotRepeated)$",
		},
		{
			Name: "unknown-is-aborted", Races: []string{"R9"}, Wrong: "a commit whose answer is lost is taken for an abort and made again",
			File: "pkg/kafka/session.go",
			Edits: []Edit{
				{Old: "return nil, false, fmt.Errorf(\"end transaction: %w\", err)", New: "return nil, false, nil"},
				{Old: "return nil, false, s.verifyAborted(ctx, upTo)", New: "return nil, false, nil"},
			},
			Package: "./pkg/stage", Test: "^TestCommitWhoseReplyIsLostIsNotRepeated$",
		},
		{
			Name: "endless-transaction", Races: []string{"R25"}, Wrong: "a transaction may stay open longer than its owner's membership",
			File:    "pkg/kafka/session.go",
			Edits:   []Edit{{Old: "kgo.TransactionTimeout(cfg.TransactionTimeout)", New: "kgo.TransactionTimeout(5*time.Minute)"}},
			Package: "./pkg/kafka", Test: "^TestATransactionEndsBeforeItsOwnersMembership$",
		},
		{
			Name: "view-before-commit", Races: []string{"R7"}, Wrong: "a stage writes its view before the commit that may fail",
			File: "pkg/stage/member.go",
			Edits: []Edit{{
				Old: "\tpositions, committed, err := m.session.Commit(",
				New: "\tfor i, o := range res.Outputs {\n\t\tif p := batch[o.Input].Partition; o.Topic == m.cfg.Changelog {\n\t\t\t_, _ = m.views.Apply(m.work, []redis.Batch{{ID: m.viewID(m.cfg.ChangelogView, p), From: m.next[p], To: m.next[p], Entries: []redis.Entry{{Key: string(o.Key), Value: o.Value, Offset: int64(i)}}}})\n\t\t}\n\t}\n\tpositions, committed, err := m.session.Commit(",
			}},
			Package: "./pkg/stage", Test: "^(TestChangelogIsRightThroughRandomFaults|TestZombieWritesNothing)$",
		},
		{
			Name: "checks-left-out", Races: []string{"R1"}, Wrong: "where one partition's view is lost, nobody makes the checks of a batch's other partitions",
			File:    "pkg/stage/aftermath.go",
			Edits:   []Edit{{Old: "\tif len(refused) > 0 {\n", New: "\tif len(refused) > 0 {\n\t\treturn\n\t}\n\tif len(refused) > 0 {\n"}},
			Package: "./pkg/stage", Test: "^TestChecksAreMadeWhereOnlyAnotherPartitionsViewIsLost$",
		},
		{
			Name: "fold-skipped", Races: []string{"R8"}, Wrong: "a new owner takes the view as it finds it, although the changelog went on",
			File: "pkg/stage/fold.go",
			Edits: []Edit{{
				Old: "\tbegan := m.deps.Now()\n",
				New: "\tif c, err := m.views.Cursors(ctx, []redis.ViewID{m.viewID(m.cfg.ChangelogView, p)}); err == nil && c[0].Checkpoint != redis.NoCheckpoint {\n\t\tend = c[0].Checkpoint\n\t}\n\tbegan := m.deps.Now()\n",
			}},
			Package: "./pkg/stage", Test: "^TestCrashBetweenCommitAndApply$",
		},
		{
			Name: "fold-to-stable-offset", Races: []string{"R8"}, Wrong: "a new owner reads the changelog to the last stable offset, past an old owner's open transaction",
			File:    "pkg/stage/fold.go",
			Edits:   []Edit{{Old: "m.reader.HighWatermarks(foldCtx", New: "m.reader.StableOffsets(foldCtx"}},
			Package: "./pkg/stage", Test: "^TestFoldWaitsForAnOpenTransaction$",
		},
		{
			Name: "absent-while-not-ready", Races: []string{"R8"}, Wrong: "a view that is not read yet is taken for an empty one",
			File:    "pkg/stage/compute.go",
			Edits:   []Edit{{Old: "} else if a.Checkpoint == redis.NoCheckpoint {", New: "} else if a.Checkpoint < redis.NoCheckpoint {"}},
			Package: "./pkg/stage", Test: "^TestAViewThatIsNotReadyHoldsTheBatchBack$",
		},
		{
			Name: "view-without-compare", Races: []string{"R7", "R8"}, Wrong: "views are written without comparing their checkpoint",
			File:    "pkg/redis/views.go",
			Edits:   []Edit{{Old: "\t\tif at != m.From {\n", New: "\t\tif at != m.From && at == m.To {\n"}},
			Package: "./pkg/redis", Test: "^(TestApplyOnlyFromTheExpectedCheckpoint|TestRacingWritersLeaveOneHistory)$",
		},
		{
			Name: "view-without-offset", Races: []string{"R7", "R8"}, Wrong: "a view has no offset that anybody compares: it is written as it is found, and only one that is gone is noticed",
			File: "pkg/redis/views.go",
			Edits: []Edit{
				{Old: "\t\tif at != m.From {\n", New: "\t\tif (at == NoCheckpoint) != (m.From == NoCheckpoint) {\n"},
				{File: "pkg/stage/member.go", Old: "if cursors[i].Checkpoint != m.next[p] {", New: "if cursors[i].Checkpoint == redis.NoCheckpoint {"},
				{File: "pkg/stage/compute.go", Old: "if a.Checkpoint != m.next[id.Partition] {", New: "if a.Checkpoint == redis.NoCheckpoint {"},
			},
			Package: "./pkg/redis", Test: "^TestApplyOnlyFromTheExpectedCheckpoint$",
		},
		{
			Name: "view-without-watch", Races: []string{"R7", "R8"}, Wrong: "a view's checkpoint is compared, and what happens before the write is not seen",
			File:    "pkg/redis/views.go",
			Edits:   []Edit{{Old: "return compareAndWrite(ctx, tx, moves) }, keys...)", New: "return compareAndWrite(ctx, tx, moves) }, keys[0]+\"-\")"}},
			Package: "./pkg/redis", Test: "^TestRacingWritersLeaveOneHistory$",
		},
		{
			Name: "checks-before-view", Races: []string{"R1"}, Wrong: "who uses a changed record is looked up before the view has the change",
			File: "pkg/stage/aftermath.go",
			Edits: []Edit{
				{Old: "\tok := m.applyAll(ctx, a, batches)\n", New: "\t_ = m.stage.Settle(ctx, newestOf(changes))\n\tok := m.applyAll(ctx, a, batches)\n"},
				{Old: "err := m.untilDone(ctx, \"the checks after a commit\", func() error { return m.stage.Settle(ctx, newestOf(changes)) })", New: "err := ctx.Err()"},
			},
			Package: "./pkg/stage", Test: "^TestChecksComeAfterTheViewIsWritten$",
		},
		{
			Name: "checks-not-repeated", Races: []string{"R1"}, Wrong: "what a crash cut off between the view and the checks after it is left undone",
			File:    "pkg/stage/fold.go",
			Edits:   []Edit{{Old: "return m.resettle(ctx, id, settled, next, page)", New: "return m.resettle(ctx, id, end, next, page)"}},
			Package: "./pkg/stage", Test: "^TestCrashBetweenApplyAndSettle$",
		},
		{
			Name: "away-is-poison", Races: []string{"R20"}, Wrong: "a record whose dependency is away becomes a dead letter",
			File:    "pkg/stage/compute.go",
			Edits:   []Edit{{Old: "work, err := m.stage.Begin(ctx, batch)\n\tif err != nil {\n\t\treturn Result{}, &dependencyError{err}\n", New: "work, err := m.stage.Begin(ctx, batch)\n\tif err != nil {\n\t\treturn Result{}, fault.Unreadable(\"dependency\", err)\n"}},
			Package: "./pkg/stage", Test: "^TestDependencyAwayPausesWithoutDeadLetters$",
		},
		{
			Name: "misplaced-key", Races: []string{"R16"}, Wrong: "a record in a partition that its key does not choose is computed by that partition's owner",
			File: "pkg/stage/compute.go",
			Edits: []Edit{
				{Old: "if kafka.Partition(batch[i].Key, n) != batch[i].Partition {", New: "if n < 0 {"},
				{Old: "kafka.Partition(o.Key, m.cfg.Kafka.PartitionCount()) != in.Partition {", New: "in == nil {"},
			},
			Package: "./pkg/stage", Test: "^TestMisplacedKeyIsADeadLetter$",
		},
		{
			Name: "partitions-unchecked", Races: []string{"R16"}, Wrong: "a topic that has grown from 6 to 12 partitions is taken as it is",
			File:    "pkg/kafka/topics.go",
			Edits:   []Edit{{Old: "if ok && s.Keyed && n != int(s.Partitions) {", New: "if ok && s.Keyed && n < 1 {"}},
			Package: "./pkg/kafka", Test: "^TestCheckRefusesAnotherPartitionCountWithARemedy$",
		},
		{
			Name: "partitions-grown", Races: []string{"R16"}, Wrong: "`topics apply` makes more partitions where more are configured",
			File: "pkg/kafka/topics.go",
			Edits: []Edit{{
				Old: "\t\tchanged, err := alter(ctx, adm, s.Name, want)\n",
				New: "\t\tif existing[s.Name] < int(s.Partitions) {\n\t\t\tif resp, err := adm.UpdatePartitions(ctx, int(s.Partitions), s.Name); err != nil || resp.Error() != nil {\n\t\t\t\treturn changes, errors.Join(err, resp.Error())\n\t\t\t}\n\t\t\texisting[s.Name] = int(s.Partitions)\n\t\t}\n\t\tchanged, err := alter(ctx, adm, s.Name, want)\n",
			}},
			Package: "./pkg/kafka", Test: "^TestCheckRefusesAnotherPartitionCountWithARemedy$",
		},
		{
			Name: "start-at-the-end", Races: []string{"R23"}, Wrong: "a group that never read begins at the end of its topic",
			File:    "pkg/kafka/config.go",
			Edits:   []Edit{{Old: "\t\tkgo.MetadataMinAge(metadataMinAge),\n", New: "\t\tkgo.MetadataMinAge(metadataMinAge),\n\t\tkgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),\n"}},
			Package: "./pkg/kafka", Test: "^TestAGroupThatNeverReadBeginsAtTheStart$",
		},
		{
			Name: "jump-to-the-end", Races: []string{"R23"}, Wrong: "a position beyond the end of a topic is moved to the end, without a word",
			File:    "pkg/kafka/reader.go",
			Edits:   []Edit{{Old: "return from, fmt.Errorf(\"%s partition %d offset %d: %w\", topic, partition, from, ErrBeyondEnd)", New: "return 1 << 62, nil"}},
			Package: "./pkg/kafka", Test: "^TestReaderEndsAtAMarkerAndSkipsAbortedRecords$",
		},
	}
}
