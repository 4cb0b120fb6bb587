package mutants

// waits are mistakes with records that need another one.
func waits() []Mutant {
	return []Mutant{
		{
			Name: "look-before-register", Races: []string{"R1"}, Wrong: "a record looks for its parent, then registers, and parks",
			File: "services/normalizer/settle.go",
			Edits: []Edit{
				{Old: "\tif err := s.deps.Dependents.Add(ctx, uses); err != nil {\n\t\treturn err\n\t}\n"},
				{Old: "\treturn s.wake(ctx, stale)\n", New: "\tif err := s.deps.Dependents.Add(ctx, uses); err != nil {\n\t\treturn err\n\t}\n\treturn s.wake(ctx, stale)\n"},
			},
			Package: "./services/normalizer", Test: "^TestAParentThatArrivesWhileItsChildRegistersIsNotMissed$",
		},
		{
			Name: "no-second-look", Races: []string{"R1"}, Wrong: "a record that found no parent registers and parks without looking again",
			File:    "services/normalizer/settle.go",
			Edits:   []Edit{{Old: "\treturn s.wake(ctx, stale)\n", New: "\treturn s.wake(ctx, nil)\n"}},
			Package: "./services/normalizer", Test: "^TestAParentThatArrivesWhileItsChildRegistersIsNotMissed$",
		},
		{
			Name: "check-then-park", Races: []string{"R1"}, Wrong: "a record that found no parent is parked, seconds later, without a second look, and nobody sweeps",
			File: "services/normalizer/settle.go",
			Edits: []Edit{
				{Old: "\t\"slices\"\n\n", New: "\t\"slices\"\n\t\"time\"\n\n"},
				{Old: "\tif err := s.deps.Dependents.Add(ctx, uses); err != nil {\n", New: "\ttime.Sleep(3 * time.Second)\n\tif err := s.deps.Dependents.Add(ctx, uses); err != nil {\n"},
				{Old: "\treturn s.wake(ctx, stale)\n", New: "\treturn s.wake(ctx, nil)\n"},
				{Old: "\treturn s.wake(ctx, overdue)\n", New: "\treturn s.wake(ctx, nil)\n"},
			},
			Package: "./services/normalizer", Test: "^TestAParentThatArrivesWhileItsChildRegistersIsNotMissed$",
		},
		{
			Name: "resume-with-the-parked-state", Races: []string{"R2", "R3"}, Wrong: "a record that waited goes on with the state that was parked, not with its newest",
			File: "services/normalizer/normalizer.go",
			Edits: []Edit{
				{Old: "\t\"sync/atomic\"\n", New: "\t\"sync\"\n\t\"sync/atomic\"\n"},
				{Old: "// work is one batch.\n", New: "var parkedStates sync.Map\n\n// work is one batch.\n"},
				{
					Old: "\t\tparents := make(map[record.ID]*record.Replica, len(in.parents))\n",
					New: "\t\tif parked, ok := parkedStates.Load(in.key); ok {\n\t\t\tin.replica = parked.(*record.Replica)\n\t\t\tin.parents = in.app.Normalize.Parents(in.replica)\n\t\t}\n\t\tparents := make(map[record.ID]*record.Replica, len(in.parents))\n",
				},
				{Old: "\t\tif complete {\n", New: "\t\tif !complete {\n\t\t\tparked := *in.replica // a copy: its fields are room for the next batch\n\t\t\tparked.Fields = append([]record.Field(nil), parked.Fields...)\n\t\t\tparkedStates.Store(in.key, &parked)\n\t\t}\n\t\tif complete {\n"},
			},
			Package: "./services/normalizer", Test: "^TestAWaitingRecordGoesOnWithItsNewestState$",
		},
		{
			Name: "absent-is-not-told", Races: []string{"R4"}, Wrong: "a parent that the source does not have wakes nobody: its children wait in silence",
			File: "services/replica/settle.go",
			Edits: []Edit{{
				Old: "\t\tdigest := record.Digest(parent, s.used(parent))\n",
				New: "\t\tif parent.Presence == record.PresenceAbsent || parent.Presence == record.PresenceFailed {\n\t\t\tcontinue\n\t\t}\n\t\tdigest := record.Digest(parent, s.used(parent))\n",
			}},
			Package: "./services/replica", Test: "^TestAParentThatIsGoneWakesItsChildren$/^(absent|failed)$",
		},
		{
			Name: "delete-is-not-told", Races: []string{"R26"}, Wrong: "a parent that is deleted wakes nobody",
			File: "services/replica/settle.go",
			Edits: []Edit{{
				Old: "\t\tdigest := record.Digest(parent, s.used(parent))\n",
				New: "\t\tif parent.Presence == record.PresenceDeleted {\n\t\t\tcontinue\n\t\t}\n\t\tdigest := record.Digest(parent, s.used(parent))\n",
			}},
			Package: "./services/replica", Test: "^TestAParentThatIsGoneWakesItsChildren$/^deleted$",
		},
		{
			Name: "wait-for-what-is-gone", Races: []string{"R4", "R26"}, Wrong: "a record waits for a parent that is absent or deleted",
			File:    "services/normalizer/resolve.go",
			Edits:   []Edit{{Old: "\t\tcase !parent.Live() && p.Required:\n\t\t\tlost = append(lost, p)\n", New: "\t\tcase !parent.Live() && p.Required:\n\t\t\tmissing = append(missing, p)\n"}},
			Package: "./services/normalizer", Test: "^TestAParentTheSourceDoesNotHaveFailsItsChild$",
		},
		{
			Name: "fetch-without-lease", Races: []string{"R6"}, Wrong: "every process that sees a request asks the source",
			File:    "pkg/postgres/fetch.go",
			Edits:   []Edit{{Old: "next_at = now() + $2, put_back", New: "next_at = now() + $2::interval * 0, put_back"}},
			Package: "./services/fetcher", Test: "^TestWhileOneProcessAsksNobodyElseDoes$",
		},
		{
			Name: "request-per-child", Races: []string{"R6"}, Wrong: "every child of a missing parent requests it",
			File:    "services/normalizer/output.go",
			Edits:   []Edit{{Old: "if b.fetching[key] || in.app.Fetch == nil {", New: "if in.app.Fetch == nil {"}},
			Package: "./services/normalizer", Test: "^TestManyInvoicesOfOneMissingLoadMakeOneRequest$",
		},
		{
			Name: "endless-chain", Races: []string{"R6"}, Wrong: "parents of parents are fetched without end",
			File:    "services/fetcher/work.go",
			Edits:   []Edit{{Old: "if f.Depth > maxDepth {", New: "if f.Depth > 1000*maxDepth {"}},
			Package: "./services/fetcher", Test: "^TestAChainOfParentsEndsAtEightSteps$",
		},
	}
}
