package mutants

// states are mistakes with a record's versions.
func states() []Mutant {
	return []Mutant{
		{
			Name: "last-arrival-wins", Races: []string{"R5", "R17"}, Wrong: "the merge ignores versions: old events that come again overwrite newer fields",
			File:    "services/replica/merge.go",
			Edits:   []Edit{{Old: "\tcase order < 0:\n\t\tm.ignored", New: "\tcase order < 0 && !sameValue(have, got):\n\t\treturn true\n\tcase order < 0:\n\t\tm.ignored"}},
			Package: "./services/replica", Test: "^TestTheEndDoesNotDependOnTheOrder$",
		},
		{
			Name: "fetch-overwrites", Races: []string{"R5"}, Wrong: "what was fetched overwrites what came meanwhile, whatever its version",
			File:    "services/replica/merge.go",
			Edits:   []Edit{{Old: "\tcase order < 0:\n\t\tm.ignored", New: "\tcase order < 0 && !authoritative:\n\t\tm.ignored"}},
			Package: "./services/replica", Test: "^TestMerge$",
		},
		{
			Name: "absence-believed", Races: []string{"R5"}, Wrong: "an absence without version is believed although the record has just come",
			File:    "services/replica/apply.go",
			Edits:   []Edit{{Old: "if prev.Live() && e.Version == \"\" && e.ReceivedAt", New: "if prev == nil && e.Version == \"\" && e.ReceivedAt"}},
			Package: "./services/replica", Test: "^TestAnAbsenceRightAfterAWebhookIsDoubted$",
		},
		{
			Name: "answer-ends-later-requests", Races: []string{"R5"}, Wrong: "the answer of a fetch ends requests that came while the source was asked",
			File: "pkg/postgres/fetch.go",
			Edits: []Edit{
				{Old: "AND l.epoch = u.epoch AND l.seq > u.seq`", New: "AND l.epoch < 0 AND u.seq + u.epoch < 0`"},
				{Old: "AND l.epoch = u.epoch AND l.seq = u.seq`", New: "AND l.epoch = u.epoch AND l.seq >= u.seq`"},
			},
			Package: "./services/fetcher", Test: "^TestARequestDuringTheFetchAsksAgain$",
		},
		{
			Name: "delete-without-version", Races: []string{"R15"}, Wrong: "an older update revives a deleted record",
			File:    "services/replica/merge.go",
			Edits:   []Edit{{Old: "\tcase o.Version < n.Version:\n\t\treturn\n"}},
			Package: "./services/replica", Test: "^(TestADeleteHasAVersion|TestTheEndDoesNotDependOnTheOrder)$",
		},
		{
			Name: "delete-is-null", Races: []string{"R15"}, Wrong: "a delete is written as a null, which compaction and the view forget, version and all",
			File: "services/replica/apply.go",
			Edits: []Edit{{
				Old: "\tvalue, err := b.s.deps.Codecs.Replica.Append(nil, next)\n",
				New: "\tvalue, err := b.s.deps.Codecs.Replica.Append(nil, next)\n\tif next.Presence == record.PresenceDeleted {\n\t\tvalue = nil\n\t}\n",
			}},
			Package: "./services/replica", Test: "^TestADeleteHasAVersion$",
		},
		{
			Name: "wake-without-effect", Races: []string{"R17"}, Wrong: "a wake or a re-sync of a state that has not changed sends nothing on",
			File:    "services/replica/apply.go",
			Edits:   []Edit{{Old: "\t\tnext := *prev\n\t\treturn b.emit(i, in, &next, \"refreshed\")\n", New: "\t\tb.settle(in, \"unchanged\", nil)\n\t\treturn nil\n"}},
			Package: "./services/replica", Test: "^TestAWakeEmitsTheCurrentStateWithANewRevision$",
		},
		{
			Name: "echo-is-a-change", Races: []string{"R22"}, Wrong: "an event that says what is known already is sent on",
			File:    "services/replica/apply.go",
			Edits:   []Edit{{Old: "case m.changed, asked && !m.older:", New: "case m.changed, !m.older:"}},
			Package: "./services/replica", Test: "^TestMerge$",
		},
	}
}
