package postgres

import "github.com/jackc/pgx/v5"

// begunRows are rows of which the first has been asked for, because many queries fail only then.
type begunRows struct {
	pgx.Rows
	first bool // there is one
	begun bool // it has been given out
}

func (r *begunRows) Next() bool {
	if !r.begun {
		r.begun = true
		return r.first
	}
	return r.Rows.Next()
}

// firstRow is the first of some rows.
type firstRow struct {
	rows pgx.Rows
	err  error
}

func (r firstRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// row and rows close the batch when their result is read, and return the error of what follows it,
// such as the row of audit.
type row struct {
	pgx.Row
	results pgx.BatchResults
}

func (r row) Scan(dest ...any) error { return end(r.results, r.Row.Scan(dest...)) }

type rows struct {
	pgx.Rows
	results pgx.BatchResults
	err     error
}

func (r *rows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *rows) Close() {
	r.Rows.Close()
	if err := r.results.Close(); r.err == nil {
		r.err = err
	}
}

func (r *rows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

// end closes the results, which may report an error only then.
func end(results pgx.BatchResults, err error) error {
	if closeErr := results.Close(); err == nil {
		return closeErr
	}
	return err
}
