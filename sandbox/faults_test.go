package sandbox_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/sandbox"
)

func vendors(b *bed) int {
	b.t.Helper()
	rows, _ := b.query("select * from Vendor maxresults 1000")["Vendor"].([]any)
	return len(rows)
}

func TestFaultActions(t *testing.T) {
	post := "/v3/company/" + sandbox.ExampleRealm + "/vendor"
	for _, x := range []struct {
		rule    object
		status  int // 0: no answer
		applied bool
	}{
		{object{"action": "status", "status": 503, "body": object{"down": true}}, 503, false},
		{object{"action": "reset_before_apply"}, 0, false},
		{object{"action": "apply_then_reset"}, 0, true},
		{object{"action": "apply_then_500"}, 500, true},
		{object{"action": "truncated_body"}, 0, true},
		{object{"action": "fault200"}, 200, false},
		{object{"action": "unauthorized"}, 401, false},
		{object{"action": "ratelimit", "retry_after": 60}, 429, false},
		{object{"action": "stale"}, 400, false},
		{object{"action": "delay", "delay": "1ms"}, 200, true},
		{object{"action": "hang", "delay": "1ms"}, 0, false},
	} {
		t.Run(x.rule["action"].(string), func(t *testing.T) {
			b := start(t, sandbox.Config{})
			x.rule["app"], x.rule["object"], x.rule["times"] = "quickbooks", "vendor", 1
			b.script(x.rule)
			// A POST that may have been applied is not repeated by the client.
			res, body, err := b.try(http.MethodPost, post, b.qbo, object{"DisplayName": "Acme"})
			switch {
			case x.status == 0 && err == nil:
				t.Errorf("answered %d %s, want none", res.StatusCode, body)
			case x.status != 0 && (err != nil || res.StatusCode != x.status):
				t.Errorf("answered %v %v %s, want %d", res, err, body, x.status)
			}
			if got := vendors(b) == 1; got != x.applied {
				t.Errorf("applied: %v, want %v", got, x.applied)
			}
			lines := b.ledger("object=Vendor")
			if len(lines) != 1 || lines[0].Applied != x.applied || lines[0].Replied != (x.status != 0) || lines[0].Fault == "" || (x.status != 0 && lines[0].Status != x.status) {
				t.Errorf("ledger: %+v", lines)
			}
			if x.status == 429 && res.Header.Get("Retry-After") != "60" {
				t.Errorf("Retry-After %q", res.Header.Get("Retry-After"))
			}
		})
	}
}

func TestFaultConditionsAndCounts(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.script(object{"id": "third", "app": "quickbooks", "method": "POST", "path": "/v3/company/" + sandbox.ExampleRealm + "/vendor", "contains": "Acme", "skip": 1, "times": 1, "action": "status", "status": 500})
	want := []int{200, 200, 500, 200}
	for i, name := range []string{"Acme 1", "Other", "Acme 2", "Acme 3"} {
		res, body := b.call(http.MethodPost, "/v3/company/"+sandbox.ExampleRealm+"/vendor", b.qbo, object{"DisplayName": name})
		if res.StatusCode != want[i] {
			t.Errorf("%s: %d %s, want %d", name, res.StatusCode, body, want[i])
		}
	}
	rules := b.must(200, http.MethodGet, "/_sandbox/faults", "", nil)["list"].([]any)
	if r := rules[0].(object); fmt.Sprintf("%v %v", r["seen"], r["hits"]) != "3 1" {
		t.Errorf("rule: %v", r)
	}
	b.must(204, http.MethodDelete, "/_sandbox/faults/third", "", nil)
	b.must(404, http.MethodDelete, "/_sandbox/faults/third", "", nil)
	b.must(400, http.MethodPost, "/_sandbox/faults", "", []object{{"action": "explode"}})
	hits := func() (n int) {
		b.must(204, http.MethodDelete, "/_sandbox/faults", "", nil)
		b.script(object{"action": "status", "status": 500, "probability": 0.3, "seed": 7})
		for range 100 {
			if res, _ := b.call(http.MethodGet, "/v3/company/"+sandbox.ExampleRealm+"/vendor/1", b.qbo, nil); res.StatusCode == 500 {
				n++
			}
		}
		return n
	}
	if a, c := hits(), hits(); a != c || a < 10 || a > 60 {
		t.Errorf("probability 0.3 with one seed hit %d and %d of 100", a, c)
	}
}

func TestStaleReadShowsTheVersionBefore(t *testing.T) {
	b := start(t, sandbox.Config{})
	v := b.create("Vendor", object{"DisplayName": "Acme"})
	id := v["Id"].(string)
	b.must(200, http.MethodPost, "/_sandbox/quickbooks/"+sandbox.ExampleRealm+"/vendor/"+id+"/edit", "", object{"Notes": "a person was here"})
	b.script(object{"action": "stale", "app": "quickbooks", "op": "query", "times": 1})
	if got := b.query("select * from Vendor")["Vendor"].([]any)[0].(object); got["SyncToken"] != "0" || got["Notes"] != nil {
		t.Errorf("stale query: %v", got)
	}
	if got := b.qb(200, http.MethodGet, "vendor/"+id, nil)["Vendor"].(object); got["SyncToken"] != "1" || got["Notes"] != "a person was here" {
		t.Errorf("read: %v", got)
	}
	b.refused("5010", http.MethodPost, "vendor", object{"Id": id, "SyncToken": "0", "sparse": true, "Notes": "x"})
	if lines := b.ledger("op=edit"); len(lines) != 1 || lines[0].Before != "0" || lines[0].After != "1" {
		t.Errorf("ledger of the edit: %+v", lines)
	}
}

func TestTokenControls(t *testing.T) {
	b := start(t, sandbox.Config{})
	admin := func(action string) {
		t.Helper()
		b.must(200, http.MethodPost, "/_sandbox/quickbooks/"+sandbox.ExampleRealm+"/"+action, "", nil)
	}
	read := "/v3/company/" + sandbox.ExampleRealm + "/companyinfo/1"
	admin("expire")
	b.must(401, http.MethodGet, read, b.qbo, nil)
	b.qbo = b.authorize("quickbooks", sandbox.ExampleRealm)
	b.must(200, http.MethodGet, read, b.qbo, nil)
	admin("revoke")
	b.must(401, http.MethodGet, read, b.qbo, nil)
	b.must(404, http.MethodPost, "/_sandbox/quickbooks/1/revoke", "", nil)
	token := b.authorize("quickbooks", sandbox.ExampleRealm)
	b.must(403, http.MethodGet, "/v3/company/1/vendor/1", token, nil)
}

func TestRestartGoesOnWhereItWas(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sandbox")
	cfg := sandbox.Config{Dir: dir}
	b := start(t, cfg)
	v := b.create("Vendor", object{"DisplayName": "Acme"})
	b.create("Vendor", object{"Id": v["Id"], "SyncToken": "0", "sparse": true, "Notes": "n"})
	first := b.qb(200, http.MethodPost, "vendor?requestid=r1", object{"DisplayName": "Other"})["Vendor"].(object)
	uniqueID(b)
	b.hs(200, http.MethodPost, companies+"/batch/upsert", object{"inputs": []object{{"id": "A1", "idProperty": "sf_account_id", "properties": object{"name": "Acme"}}}})
	b.must(200, http.MethodPut, org+"/Account/"+acme, "", object{"Name": "Acme"})
	last := b.ledger("")

	// Another process on the same file: as after SIGKILL, nothing was closed.
	again := start(t, cfg)
	again.qbo = b.qbo
	if got := again.qb(200, http.MethodGet, "vendor/"+v["Id"].(string), nil)["Vendor"].(object); got["SyncToken"] != "1" || got["Notes"] != "n" {
		t.Errorf("vendor after the restart: %v", got)
	}
	if got := again.qb(200, http.MethodPost, "vendor?requestid=r1", object{"DisplayName": "Other"})["Vendor"].(object); got["Id"] != first["Id"] {
		t.Errorf("request id after the restart: %v", got)
	}
	again.refused("6240", http.MethodPost, "vendor", object{"DisplayName": "acme"})
	if third := again.create("Vendor", object{"DisplayName": "Third"}); third["Id"] != "3" {
		t.Errorf("next id %v", third["Id"])
	}
	if got := again.hs(200, http.MethodGet, companies+"/A1?idProperty=sf_account_id", nil); prop(got, "name") != "Acme" {
		t.Errorf("company after the restart: %v", got)
	}
	again.must(200, http.MethodGet, org+"/Account/"+acme, "", nil)
	lines := again.ledger("")
	if len(lines) < len(last) || lines[len(last)-1].Seq != last[len(last)-1].Seq || lines[len(lines)-1].Seq <= last[len(last)-1].Seq {
		t.Errorf("%d ledger lines before, %d after", len(last), len(lines))
	}
}

func TestServeEndsWithItsContextWhileACallHangs(t *testing.T) {
	s, err := sandbox.New(sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := listen(t)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	b := &bed{t: t, url: "http://" + l.Addr().String()}
	b.script(object{"id": "h", "action": "hang"})
	hung := make(chan error, 1)
	go func() {
		_, _, err := b.try(http.MethodGet, companies, "any", nil)
		hung <- err
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); ; <-tick.C {
		if rules := b.must(200, http.MethodGet, "/_sandbox/faults", "", nil)["list"].([]any); fmt.Sprint(rules[0].(object)["hits"]) == "1" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the call never came")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := <-hung; err == nil {
		t.Error("the hanging call was answered")
	}
}

func TestConcurrentCallersGetOneObjectPerRequestID(t *testing.T) {
	b := start(t, sandbox.Config{Dir: t.TempDir()})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for n := range 20 {
				b.call(http.MethodPost, fmt.Sprintf("/v3/company/%s/vendor?requestid=r%d", sandbox.ExampleRealm, n), b.qbo, object{"DisplayName": fmt.Sprintf("Vendor %d", n)})
			}
		})
	}
	group.Wait()
	if n := vendors(b); n != 20 {
		t.Errorf("%d vendors, want 20", n)
	}
	if n := len(b.ledger("object=Vendor&applied=true")); n != 20 {
		t.Errorf("%d applied lines, want 20", n)
	}
}
