package compare

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
)

// This file takes a list apart without decoding it: most of the time of a first
// look would go there. The items that someone wants are then decoded, several
// at a time.

var errNoList = errors.New("the answer is no list of objects")

// page is a part of a list as the API server wrote it.
type page struct {
	items [][]byte
	// token is where the next page begins, empty for the last; rest is how
	// many objects are left, 0 when the server does not say.
	token string
	rest  int64
}

// takeApart finds the items of a list. It checks nothing but the outline: what is
// wrong inside of an item shows when that is decoded.
func takeApart(data []byte) (page, error) {
	var p page
	err := eachField(data, func(name, value []byte) (err error) {
		switch string(name) {
		case "metadata":
			err = eachField(value, func(name, value []byte) error {
				switch string(name) {
				case "continue":
					return json.Unmarshal(value, &p.token)
				case "remainingItemCount":
					p.rest, err = strconv.ParseInt(string(value), 10, 64)
					return err
				}
				return nil
			})
		case "items":
			p.items, err = items(value)
		}
		return err
	})
	if err != nil {
		return page{}, fmt.Errorf("read list: %w", err)
	}
	return p, nil
}

// nameOf returns namespace and name of an object.
func nameOf(object []byte) (namespace, name string, err error) {
	err = eachField(object, func(field, value []byte) error {
		if string(field) != "metadata" {
			return nil
		}
		return eachField(value, func(field, value []byte) error {
			switch string(field) {
			case "name":
				return json.Unmarshal(value, &name)
			case "namespace":
				return json.Unmarshal(value, &namespace)
			}
			return nil
		})
	})
	return namespace, name, err
}

// decode returns the object, which need not name its kind: items of lists do
// not.
func decode(object []byte, apiVersion, kind string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(object, &u.Object); err != nil {
		return nil, err
	}
	if u.Object == nil {
		return nil, errNoList
	}
	u.Object["apiVersion"], u.Object["kind"] = apiVersion, kind
	return u, nil
}

// eachField calls visit with the fields of a JSON object. Names are without
// their quotes.
func eachField(data []byte, visit func(name, value []byte) error) error {
	i := space(data, 0)
	if i >= len(data) || data[i] != '{' {
		return errNoList
	}
	for i = space(data, i+1); i < len(data) && data[i] == '"'; i = space(data, i+1) {
		end := valueEnd(data, i)
		name := data[i+1 : max(i+1, end-1)]
		if i = space(data, end); i >= len(data) || data[i] != ':' {
			return errNoList
		}
		i = space(data, i+1)
		end = valueEnd(data, i)
		if err := visit(name, data[i:end]); err != nil {
			return err
		}
		if i = space(data, end); i < len(data) && data[i] == '}' {
			return nil
		}
		if i >= len(data) || data[i] != ',' {
			return errNoList
		}
	}
	if i < len(data) && data[i] == '}' {
		return nil
	}
	return errNoList
}

// items returns the items of a JSON array, which may be null.
func items(data []byte) ([][]byte, error) {
	if bytes.Equal(data, []byte("null")) {
		return nil, nil
	}
	i := space(data, 0)
	if i >= len(data) || data[i] != '[' {
		return nil, errNoList
	}
	var all [][]byte
	for i = space(data, i+1); i < len(data) && data[i] != ']'; i = space(data, i+1) {
		end := valueEnd(data, i)
		all = append(all, data[i:end])
		if i = space(data, end); i < len(data) && data[i] == ']' {
			return all, nil
		}
		if i >= len(data) || data[i] != ',' {
			return nil, errNoList
		}
	}
	if i >= len(data) {
		return nil, errNoList
	}
	return all, nil
}

// space returns the first place from i on that is no white space.
func space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\r' || data[i] == '\t') {
		i++
	}
	return i
}

// valueEnd returns where the JSON value that begins at i ends; it ends with data
// when it has no end.
func valueEnd(data []byte, i int) int {
	depth := 0
	for i < len(data) {
		switch data[i] {
		case '"':
			i = quotes(data, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
		case ',', ':', ' ', '\n', '\r', '\t':
			if depth == 0 {
				return i
			}
		}
		if i++; depth == 0 && i <= len(data) && (data[i-1] == '"' || data[i-1] == '}' || data[i-1] == ']') {
			return i
		}
	}
	return len(data)
}

// quotes returns where the JSON string that begins at i ends.
func quotes(data []byte, i int) int {
	for i++; i < len(data); i++ {
		n := bytes.IndexByte(data[i:], '"')
		if n < 0 {
			return len(data)
		}
		escapes := 0
		for i += n; data[i-1-escapes] == '\\'; escapes++ {
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
	return len(data)
}
