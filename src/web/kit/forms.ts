import { type Html, html } from "../../lib/html.ts";
import { PASSWORD_AT_LEAST, PASSWORD_AT_MOST } from "../../sign-in/service.ts";

/** What is wrong with a form: the field's id, and a sentence for the person. */
export type Fault = { field: string; message: string };

export type Field = {
  name: string;
  /** Its id, if it is not its name: where a page has several of that name. */
  id?: string;
  label: string | Html;
  type: "email" | "text" | "url";
  autocomplete: "username" | "username webauthn" | "email" | "name" | "off";
  value?: string;
  hint?: string | Html;
  /** What is typed, so that phones show the keys for it: digits alone, or an amount. */
  digits?: true | "decimal";
  /** It may be left empty. */
  optional?: true;
  minLength?: number;
  maxLength?: number;
  fault?: Fault | undefined;
};

/** A labelled field. Its hint and its fault are tied to it, so that they are read out with it. */
export function field(options: Field): Html {
  return labelled(options);
}

export type PasswordField = Omit<Field, "type" | "autocomplete" | "minLength" | "maxLength"> & {
  autocomplete: "current-password" | "new-password";
};

/**
 * A field for a password. Password managers need to know whose it is, and browsers warn of a form that does not say so.
 * @param email of the person, for a field that stands before it unseen; `undefined`: the form has one already
 */
export function passwordField(email: string | undefined, options: PasswordField): Html {
  return html`${
    email !== undefined &&
    html`<input class="away" type="email" autocomplete="username" value="${email}" readonly tabindex="-1"
          aria-hidden="true">`
  }${labelled({
    ...options,
    type: "password",
    ...(options.autocomplete === "new-password" && { minLength: PASSWORD_AT_LEAST }),
    maxLength: PASSWORD_AT_MOST,
  })}`;
}

type AnyField = Omit<Field, "type" | "autocomplete"> & {
  type: Field["type"] | "password";
  autocomplete: Field["autocomplete"] | PasswordField["autocomplete"];
};

function labelled(options: AnyField): Html {
  const {
    name,
    id = name,
    label,
    type,
    autocomplete,
    value,
    hint,
    digits,
    optional,
    minLength,
    maxLength,
    fault,
  } = options;
  const own = fault?.field === id ? fault : undefined;
  const described = [hint && `${id}-hint`, own && `${id}-fault`].filter(Boolean).join(" ");
  return html`
        <div class="field">
          <label for="${id}">${label}</label>
          ${hint && html`<div class="quiet hint" id="${id}-hint">${hint}</div>`}
          ${own && html`<p class="fault" id="${id}-fault">${own.message}</p>`}
          <input id="${id}" name="${name}" type="${type}" autocomplete="${autocomplete}"${optional !== true && " required"}
            ${type === "email" && html`inputmode="email" autocapitalize="none" spellcheck="false"`}
            ${type === "url" && html`autocapitalize="none" spellcheck="false"`}
            ${digits && html`inputmode="${digits === true ? "numeric" : digits}"`}
            ${value !== undefined && html`value="${value}"`}
            ${minLength !== undefined && html`minlength="${minLength}"`}
            ${maxLength !== undefined && html`maxlength="${maxLength}"`}
            ${described !== "" && html`aria-describedby="${described}"`}
            ${own && html`aria-invalid="true" autofocus`}>
        </div>`;
}

export type Choice = {
  name: string;
  id?: string;
  label: string;
  /** What is sent, and what the person reads. */
  options: readonly (readonly [value: string, words: string])[];
  value: string;
  hint?: string | Html;
};

/** One of several. */
export function choice({ name, id = name, label, options, value, hint }: Choice): Html {
  return html`
        <div class="field">
          <label for="${id}">${label}</label>
          ${hint && html`<div class="quiet hint" id="${id}-hint">${hint}</div>`}
          <select id="${id}" name="${name}"${hint && html` aria-describedby="${id}-hint"`}>${options.map(
            ([sent, words]) => html`
            <option value="${sent}"${sent === value && " selected"}>${words}</option>`,
          )}
          </select>
        </div>`;
}

export function hiddenField(name: string, value: string): Html {
  return html`<input type="hidden" name="${name}" value="${value}">`;
}

/** Says above a form what is wrong with it, and leads to the field. */
export function faultSummary(fault: Fault | undefined): Html | undefined {
  return (
    fault &&
    html`
      <div class="summary" role="alert">
        <p><a href="#${fault.field}">${fault.message}</a></p>
      </div>`
  );
}

/** Something that went well, or that one should know. */
export function banner(text: string | undefined): Html | undefined {
  return text === undefined ? undefined : html`<p class="notice" role="status">${text}</p>`;
}
