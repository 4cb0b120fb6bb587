package parts

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

func subjectsOf(ctx context.Context, registry string) ([]string, error) {
	var subjects []string
	err := call(ctx, http.MethodGet, registry+"/subjects", &subjects)
	return subjects, err
}

// call asks the registry; out may be nil.
func call(ctx context.Context, method, address string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s answered %s", method, address, res.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}
