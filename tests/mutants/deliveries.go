package mutants

// deliveries are mistakes on the way from a row to its destination.
func deliveries() []Mutant {
	const crash = "^TestACrashAnywhereHasOneEffect$/^(answered|stored),_resolve_blind_false,_request_id_memory_false$"
	return []Mutant{
		{
			Name: "sent-after-the-lease", Races: []string{"R10"}, Wrong: "a process that was frozen past its lease makes its call when it goes on",
			File: "services/delivery/call.go",
			Edits: []Edit{
				{Old: "if !time.Now().Before(a.deadline) {", New: "if a.deadline.IsZero() {"},
				{File: "services/delivery/attempt.go", Old: "calls, cancel := context.WithDeadline(work, a.deadline)", New: "calls, cancel := context.WithCancel(work)"},
			},
			Package: "./services/delivery", Test: "^TestWhoWasFrozenPastItsLeaseMakesNoCall$",
		},
		{
			Name: "request-not-stored", Races: []string{"R13"}, Wrong: "a request is sent without having been stored",
			File:    "services/delivery/attempt.go",
			Edits:   []Edit{{Old: "held, err := a.s.store.do(ctx, a.stored(step), a.s.accounts.quiet(a.account()))", New: "held, err := true, error(nil)"}},
			Package: "./services/delivery", Test: crash,
		},
		{
			Name: "new-request-id", Races: []string{"R13"}, Wrong: "a call of unknown outcome is made again under a new request id, without looking",
			File: "services/delivery/attempt.go",
			Edits: []Edit{
				{Old: "done, remote, err := a.resolve(ctx)", New: "done, remote, err := false, (*integration.Remote)(nil), error(nil)"},
				{Old: "\treturn uuid.NewSHA1(uuid.NameSpaceOID, append([]byte(name), a.digest()...)).String()\n", New: "\treturn uuid.NewSHA1(uuid.New(), append([]byte(name), a.digest()...)).String()\n"},
			},
			Package: "./services/delivery", Test: crash,
		},
		{
			Name: "retry-topic", Races: []string{"R12"}, Wrong: "what was refused for now is put aside and sent again later by itself, beside the row, after newer states",
			File: "services/delivery/attempt.go",
			Edits: []Edit{
				{
					Old: "\t\tcase err != nil:\n\t\t\terr = a.heal(ctx, err)\n",
					New: "\t\tcase err != nil && fault.Of(err).Class == fault.Retryable && !errors.Is(err, errLeaseOver):\n\t\t\tgo a.putAside(step.Request)\n\t\t\ta.doubt = false\n\t\t\treturn a.applied(a.op.Applied), nil\n\t\tcase err != nil:\n\t\t\terr = a.heal(ctx, err)\n",
				},
				{
					Old: "func (a *attempt) stored(",
					New: "func (a *attempt) putAside(req integration.Request) {\n\tlater := *a\n\tfor range 10 {\n\t\ttime.Sleep(4 * time.Second)\n\t\tlater.deadline = time.Now().Add(10 * time.Second)\n\t\tctx, cancel := context.WithDeadline(context.Background(), later.deadline)\n\t\t_, err := later.caller().Call(ctx, req)\n\t\tcancel()\n\t\tif err == nil || fault.Of(err).Class != fault.Retryable {\n\t\t\treturn\n\t\t}\n\t}\n}\n\nfunc (a *attempt) stored(",
				},
			},
			Package: "./services/delivery", Test: "^TestOrderHoldsWhileADestinationFails$",
		},
		{
			Name: "own-write-merged", Races: []string{"R14"}, Wrong: "an update whose answer was lost meets its own effect as a stale version, is merged with itself and made again",
			File:    "services/delivery/attempt.go",
			Edits:   []Edit{{Old: "done, remote, err := a.resolve(ctx)", New: "a.doubt = false\n\t\tdone, remote, err := false, (*integration.Remote)(nil), error(nil)"}},
			Package: "./services/delivery", Test: "^TestAnUpdateWhoseAnswerIsLostIsMadeOnce$",
		},
		{
			Name: "edit-overwritten", Races: []string{"R14"}, Wrong: "after a stale version everything is sent again, over what a person wrote into fields that we did not change",
			File:    "integrations/quickbooks/merge.go",
			Edits:   []Edit{{Old: "if holds(want, sent) && holds(sent, want) {", New: "if len(ours) == 0 {"}},
			Package: "./integrations/quickbooks", Test: "^TestMergeKeepsWhatPeopleChanged$",
		},
		{
			Name: "equal-state-sent", Races: []string{"R17", "R22"}, Wrong: "a state that the destination has already is sent again",
			File:    "services/delivery/attempt.go",
			Edits:   []Edit{{Old: "\tif a.unchanged() {\n", New: "\tif a.unchanged() && a.row == nil {\n"}},
			Package: "./services/delivery", Test: "^TestAnEqualStateIsNotSentAgain$",
		},
		{
			Name: "401-spends-attempts", Races: []string{"R18"}, Wrong: "a 401 spends an attempt of every row it meets",
			File:    "services/delivery/ending.go",
			Edits:   []Edit{{Old: "\tout := a.released()\n", New: "\tout := a.retry(f)\n"}},
			Package: "./services/delivery", Test: "^TestA401StormIsOneNotificationAndNoAttempt$",
		},
		{
			Name: "a-notification-a-row", Races: []string{"R18"}, Wrong: "a dead credential is told once for each row it holds up",
			File: "services/delivery/opening.go",
			Edits: []Edit{
				{Old: "\tn.RecordID, n.Object, n.Revision, n.Lineage = \"\", \"\", record.Revision{}, record.Lineage{}\n"},
				{File: "pkg/postgres/delivery_notify.go", Old: "AND blocked_at IS NULL AND blocked_version < $2", New: "AND $2::bigint > 0"},
			},
			Package: "./services/delivery", Test: "^TestA401StormIsOneNotificationAndNoAttempt$",
		},
		{
			Name: "no-look-before-the-call", Races: []string{"R24"}, Wrong: "what was claimed is sent although the tenant was disabled since",
			File:    "services/delivery/attempt.go",
			Edits:   []Edit{{Old: "if stop.Err() != nil || laneConnection(a.s.deps.Snapshots.Current(), a.lane()) == nil {", New: "if stop.Err() != nil {"}},
			Package: "./services/delivery", Test: "^TestATenantThatIsDisabledMeanwhileIsNotSentFor$",
		},
	}
}
