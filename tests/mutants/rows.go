package mutants

// rows are mistakes with delivery's rows in PostgreSQL.
func rows() []Mutant {
	return []Mutant{
		{
			Name: "old-commands-again", Races: []string{"R17"}, Wrong: "a replayed command overwrites a newer state that waits to be sent",
			File: "pkg/postgres/delivery_consume.go",
			Edits: []Edit{{
				Old: "\tWHERE (EXCLUDED.desired_generation, EXCLUDED.desired_offset, EXCLUDED.desired_source) > (r.desired_generation, r.desired_offset, r.desired_source)\n",
			}},
			Package: "./pkg/postgres", Test: "^TestTheNewestStateReplacesWhatWasNotSent$",
		},
		{
			Name: "late-ack", Races: []string{"R11"}, Wrong: "a consumer that lost its partition moves the offset all the same",
			File:    "pkg/postgres/delivery_consume.go",
			Edits:   []Edit{{Old: "partition = $2 AND next_offset = $3`", New: "partition = $2 AND next_offset >= $3`"}},
			Package: "./services/delivery", Test: "^TestALateConsumerDoesNotTakeTheOffsetBack$",
		},
		{
			Name: "overtaken-retry", Races: []string{"R12"}, Wrong: "a retry repeats the old state although a newer one has come, as a retry topic does",
			File:    "pkg/postgres/delivery_finish.go",
			Edits:   []Edit{{Old: "inflight_slot = CASE WHEN f.doubt THEN r.inflight_slot END,", New: "inflight_slot = CASE WHEN f.doubt OR f.ending = 'retry' THEN r.inflight_slot END,"}},
			Package: "./pkg/postgres", Test: "^TestARetryCarriesTheNewestState$",
		},
		{
			Name: "finish-forgets-newer", Races: []string{"R12"}, Wrong: "a finish calls the row done although a newer state waits",
			File:    "pkg/postgres/delivery_finish.go",
			Edits:   []Edit{{Old: "WHEN f.ending = 'released' OR ` + newer + ` THEN CASE", New: "WHEN f.ending = 'released' THEN CASE"}},
			Package: "./pkg/postgres", Test: "^TestANewerStateWaitsForTheOneInFlight$",
		},
		{
			Name: "late-finish-forgotten", Races: []string{"R10"}, Wrong: "a call that may have landed after its lease is not made good by the newest state",
			File:    "pkg/postgres/delivery_finish.go",
			Edits:   []Edit{{Old: "case f.Sent:\n", New: "case f.Sent && f.Row == nil:\n"}},
			Package: "./pkg/postgres", Test: "^TestALateFinishAsksForTheNewestStateAgain$",
		},
		{
			Name: "finish-without-epoch", Races: []string{"R10"}, Wrong: "the finish of an earlier claim ends the present one",
			File:    "pkg/postgres/delivery_finish.go",
			Edits:   []Edit{{Old: "WHERE r.id = f.id AND r.epoch = f.epoch AND r.status = 'sending'", New: "WHERE r.id = f.id AND r.epoch >= f.epoch AND r.status = 'sending'"}},
			Package: "./pkg/postgres", Test: "^TestAFinishOfAnEarlierClaimDoesNotEndThePresentOne$",
		},
		{
			Name: "store-without-lease", Races: []string{"R10"}, Wrong: "a request is stored, and then sent, although the lease is over",
			File:    "pkg/postgres/delivery_claim.go",
			Edits:   []Edit{{Old: "AND r.status = 'sending' AND r.next_at > now()\n", New: "AND r.status = 'sending'\n"}},
			Package: "./pkg/postgres", Test: "^TestARequestIsStoredUnderTheLeaseOnly$",
		},
		{
			Name: "id-apart", Races: []string{"R13"}, Wrong: "the destination's id is written apart from the row's finish, and a crash comes between",
			File:    "pkg/postgres/delivery_finish.go",
			Edits:   []Edit{{Old: "destination_id = CASE WHEN f.remote THEN f.destination_id ELSE r.destination_id END,", New: "destination_id = r.destination_id,"}},
			Package: "./pkg/postgres", Test: "^TestARowIsClaimedSentAndDone$",
		},
		{
			Name: "old-401-blocks", Races: []string{"R18"}, Wrong: "a late 401 of the replaced credential blocks the new one",
			File:    "pkg/postgres/delivery_notify.go",
			Edits:   []Edit{{Old: "AND blocked_at IS NULL AND blocked_version < $2", New: "AND blocked_at IS NULL AND $2::bigint > 0"}},
			Package: "./services/delivery", Test: "^TestA401OfAnOldCredentialDoesNotBlockTheNewOne$",
		},
	}
}
